/** The demo shop's own script: a cart that lasts over pages. It knows nothing of Ringlet, as a shop's script would. */

/** @typedef {{id: string, name: string, size: string, price: number, count: number}} Line */

const KEY = "acme-cart";
/** @param {number} cents */
const euro = (cents) => new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" }).format(cents / 100);

/** @returns {Line[]} */
function load() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "[]");
  } catch {
    return [];
  }
}

/** @param {Line[]} lines */
function save(lines) {
  localStorage.setItem(KEY, JSON.stringify(lines));
  render();
}

/** @param {string} selector @returns {HTMLElement | null} */
const find = (selector) => document.querySelector(selector);

function render() {
  const lines = load();
  const count = lines.reduce((sum, line) => sum + line.count, 0);
  for (const badge of document.querySelectorAll("[data-cart-count]")) badge.textContent = String(count);
  const rows = find("[data-cart-rows]");
  const [full, empty, total] = [find("[data-cart-full]"), find("[data-cart-empty]"), find("[data-cart-total]")];
  if (!rows || !full || !empty || !total) return;
  full.hidden = !count;
  empty.hidden = !!count;
  total.textContent = euro(lines.reduce((sum, line) => sum + line.count * line.price, 0));
  rows.replaceChildren(...lines.map((line, index) => {
    const row = document.createElement("tr");
    const number = Object.assign(document.createElement("input"), {
      type: "number", min: "1", max: "99", value: String(line.count), ariaLabel: `Number of ${line.name}`,
    });
    number.onchange = () => {
      line.count = Math.min(99, Math.max(1, Math.round(Number(number.value)) || 1));
      save(lines);
    };
    const remove = Object.assign(document.createElement("button"), { textContent: "×", ariaLabel: `Remove ${line.name}` });
    remove.onclick = () => save(lines.filter((_, other) => other !== index));
    const name = line.size ? `${line.name}, size ${line.size}` : line.name;
    for (const content of [name, number, euro(line.count * line.price), remove]) {
      const cell = document.createElement("td");
      cell.append(content);
      row.append(cell);
    }
    return row;
  }));
}

document.addEventListener("click", (event) => {
  const button = /** @type {HTMLElement} */ (event.target).closest("button");
  const { add: id, name, price } = button?.dataset ?? {};
  if (!button || !id || !name) return;
  event.preventDefault();
  const size = new FormData(button.closest("form") ?? undefined).get("size")?.toString() ?? "";
  const lines = load();
  const line = lines.find((other) => other.id === id && other.size === size);
  if (line) line.count += 1;
  else lines.push({ id, name, size, price: Number(price), count: 1 });
  save(lines);
  const text = button.textContent;
  button.textContent = "Added";
  setTimeout(() => { button.textContent = text; }, 1200);
});

const checkout = find("[data-checkout]");
if (checkout) {
  checkout.onclick = () => {
    const output = find("main output");
    if (output) output.textContent = "This is a demo shop: nothing is sold here.";
  };
}

const returned = /** @type {HTMLFormElement | null} */ (find("[data-return-form]"));
returned?.addEventListener("submit", (event) => {
  event.preventDefault();
  const output = returned.querySelector("output");
  if (output) output.textContent = "This is a demo shop: there is no order to return.";
});

// Another tab of the shop may change the cart.
addEventListener("storage", render);
render();
