/** esbuild puts a style sheet's text into the script. */
declare module "*.css" {
  const text: string;
  export default text;
}
