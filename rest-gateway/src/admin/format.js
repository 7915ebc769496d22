// Numbers and times, as people read them.

const NUMBER = new Intl.NumberFormat("en");

/** Writes a whole number with separators. */
export function number(value) {
  return NUMBER.format(value);
}

/** Writes a time of the API in UTC, to the second. */
export function time(value) {
  return value ? value.slice(0, 19).replace("T", " ") : "";
}

/** Writes a duration in milliseconds. */
export function duration(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** Writes millionths of the currency of the prices. */
export function cost(micros) {
  return (micros / 1e6).toFixed(4);
}

/** Writes a number of bytes. */
export function bytes(value) {
  return value < 1e6 ? `${number(Math.ceil(value / 1e3))} kB` : `${number(Math.round(value / 1e6))} MB`;
}
