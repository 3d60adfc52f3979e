/** The shell of pages that need nothing else: no script, nothing fetched, light and dark as the reader's system is. */

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', '\'': '&#39;' };

/** Text as it may stand between tags and in attributes. */
export const escapeHtml = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] as string);

const STYLE = `
:root { color-scheme: light dark; --page: #ffffff; --ink: #1a1c20; --soft: #5c626e; --line: #d5d9e0; --own: #1668b8; --base: #9aa5b5; --mark: #b8480c; }
@media (prefers-color-scheme: dark) { :root { --page: #16181c; --ink: #eceef2; --soft: #a3abb8; --line: #3a3f48; --own: #5aa9f2; --base: #69748a; --mark: #ffa45c; } }
body { margin: 2rem auto; max-width: 88rem; padding: 0 1rem; background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
.soft, figcaption { color: var(--soft); }
figure { margin: 1rem 0; } svg { width: 100%; max-width: 52rem; height: auto; } svg text { font-size: 13px; fill: var(--ink); }
.own { fill: var(--own); } .base { fill: var(--base); } .mark { stroke: var(--mark); stroke-width: 3; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
table { font-size: .92rem; } th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; } th:first-child, td:first-child { text-align: left; }
pre { overflow-x: auto; padding: .7rem 1rem; border: 1px solid var(--line); border-radius: .4rem; font-size: .85rem; }
`;

export interface HtmlPage {
  readonly title: string;
  /** Of this page, after the style that all have. */
  readonly style?: string;
  /** Everything below the title's heading, as HTML. */
  readonly body: string;
  readonly heading: string;
}

export const htmlPageOf = ({ title, style = '', heading, body }: HtmlPage): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<!-- Nothing is fetched: the browser is told to refuse it. -->
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${STYLE}${style}</style>
</head>
<body>
<main>
<h1>${escapeHtml(heading)}</h1>
${body}
</main>
</body>
</html>
`;

/** Lines as they are; they scroll where they are longer than the page, by keys, too. */
export const htmlLines = (lines: readonly string[]): string => `<pre tabindex="0">${escapeHtml(lines.join('\n'))}</pre>`;

/** Cells as text; the first of a row is its heading. */
export interface TextTable {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A table that scrolls by itself where it is wider than the page. */
export function htmlTable({ head, rows }: TextTable, caption: string): string {
  const heads = head.map((text) => `<th scope="col">${escapeHtml(text)}</th>`).join('');
  const lines = rows.map((cells) => `<tr>${cells.map((text, i) => (i === 0 ? `<th scope="row">${escapeHtml(text)}</th>` : `<td>${escapeHtml(text)}</td>`)).join('')}</tr>`);
  return `<div class="scroll" role="region" tabindex="0" aria-label="${escapeHtml(caption)}"><table><caption class="soft">${escapeHtml(caption)}</caption><thead><tr>${heads}</tr></thead><tbody>\n${lines.join('\n')}\n</tbody></table></div>`;
}
