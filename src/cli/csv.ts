/** Tables as CSV (RFC 4180). */

type Cell = string | number | null;

const cellText = (value: Cell): string => {
  const text = value === null ? '' : String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** A line of names, then a line for each row; null is an empty cell. */
export function csvOf<Field extends string>(fields: readonly Field[], rows: readonly Readonly<Record<Field, Cell>>[]): string {
  const lines = rows.map((row) => fields.map((field) => cellText(row[field])).join(','));
  return `${[fields.join(','), ...lines].join('\n')}\n`;
}
