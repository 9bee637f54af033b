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

/** A bar ends a cell even inside code (GFM, tables): one that is not escaped gets its backslash, which the table takes away. */
function withoutBars(cell: string): string {
  return cell.replace(/(\\*)\|/g, (found, slashes: string) => (slashes.length % 2 === 0 ? `${slashes}\\|` : found));
}

export function details(summary: string, body: string): string {
  return `<details><summary>${summary}</summary>\n\n${body}\n\n</details>`;
}

/**
 * Sections joined by blank lines within `limit` UTF-16 units: a section that does not fit is replaced by its `short`
 * form, then left out, from the last to the first droppable one; what was left out is said at the end.
 */
export type Section = { name: string; text: string; short?: string; keep?: boolean };
export function withinLimit(sections: readonly Section[], limit = BODY_LIMIT): string {
  const texts = sections.map((section) => section.text);
  const omitted: string[] = [];
  const body = () => {
    const note =
      omitted.length > 0
        ? [`<sub>Left out for length: ${omitted.toReversed().join(", ")}. The run record has everything.</sub>`]
        : [];
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
