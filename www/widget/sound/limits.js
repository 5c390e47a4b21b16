/** What `protocol::settings` allows, in dB. */
export const MIN_DB = -24;
export const MAX_DB = 12;
