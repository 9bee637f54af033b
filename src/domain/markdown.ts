/**
 * Text of programs, models and users inside Markdown that the app posts: it must never become a mention, a link, an image,
 * a command, a closing word or a marker (security.md section 4, "output abuse").
 */

/** GitHub refuses bodies over 65,536 characters; the rest is room for what GitHub counts differently. */
export const BODY_LIMIT = 65_000;

/** A fenced block whose fence is longer than any run of backticks inside. */
export function fenced(text: string, language = ""): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((run) => run[0].length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text.replace(/\r\n?/g, "\n").replace(/\n$/, "")}\n${fence}`;
}

/** One line of inline code; line ends become spaces. Never empty. */
export function code(text: string): string {
  const flat = text.replace(/\s+/g, " ").trim() || " ";
  const longest = Math.max(0, ...[...flat.matchAll(/`+/g)].map((run) => run[0].length));
  const ticks = "`".repeat(longest + 1);
  const pad = flat.startsWith("`") || flat.endsWith("`") ? " " : "";
  return `${ticks}${pad}${flat}${pad}${ticks}`;
}

/** One line of plain text with every character escaped that Markdown, HTML or GitHub gives a meaning to. */
export function plain(text: string): string {
  return (
    text
      .replace(/\s+/g, " ")
      .trim()
      .replace(/[\\`*_{}[\]()#+\-!|~>]/g, "\\$&")
      .replace(/&/g, "&amp;")
      .replace(/</g, "&lt;")
      // A zero-width joiner after @ and inside URLs breaks mentions and autolinks; escapes alone do not.
      .replace(/@/g, "@\u200d")
      .replace(/:\/\//g, ":\u200d//")
      .replace(/\bwww\./gi, (found) => `${found.slice(0, -1)}\u200d.`)
  );
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(withoutBars).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** The table as far as it fits `limit` UTF-16 units: rows from the end on are left out, and below it stands how many. */
export function tableWithin(head: readonly string[], rows: readonly (readonly string[])[], limit: number): string {
  const whole = table(head, rows);
  if (whole.length <= limit) return whole;
  const lines = whole.split("\n");
  const omitted = (kept: number) => `\n\n${rows.length - kept} ${rows.length - kept === 1 ? "row" : "rows"} omitted.`;
  let length = lines[0]!.length + 1 + lines[1]!.length;
  let kept = 0;
  while (kept < rows.length && length + 1 + lines[kept + 2]!.length + omitted(kept + 1).length <= limit) {
    length += 1 + lines[kept + 2]!.length;
    kept += 1;
  }
  return lines.slice(0, kept + 2).join("\n") + omitted(kept);
}

/** A bar ends a cell even inside code (GFM, tables): one that is not escaped gets its backslash, which the table takes away. */
function withoutBars(cell: string): string {
  return cell.replace(/(\\*)\|/g, (found, slashes: string) => (slashes.length % 2 === 0 ? `${slashes}\\|` : found));
}

export function details(summary: string, body: string): string {
  return `<details><summary>${summary}</summary>\n\n${body}\n\n</details>`;
}

/**
 * Sections joined by blank lines within `limit` UTF-16 units: a section that does not fit is replaced by its `short`
 * form, then left out, from the last to the first droppable one; what was left out is said at the end, with `whole`, where
 * all of it stands.
 */
export type Section = { name: string; text: string; short?: string; keep?: boolean };
export function withinLimit(
  sections: readonly Section[],
  limit = BODY_LIMIT,
  whole = "The run record has everything.",
): string {
  const texts = sections.map((section) => section.text);
  const omitted: string[] = [];
  const body = () => {
    const note =
      omitted.length > 0 ? [`<sub>Left out for length: ${omitted.toReversed().join(", ")}. ${whole}</sub>`] : [];
    return [...texts, ...note].filter((text) => text !== "").join("\n\n");
  };
  for (let i = sections.length - 1; i >= 0 && body().length > limit; i--) {
    const section = sections[i]!;
    if (section.keep) continue;
    omitted.push(section.name);
    texts[i] = section.short ?? "";
  }
  const result = body();
  return result.length <= limit ? result : `${result.slice(0, limit - 20)}\n\n<sub>cut</sub>`;
}
