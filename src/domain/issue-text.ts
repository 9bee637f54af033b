/** Text that others wrote, made safe to stand in a prompt: cut, and nothing in it that a reader of the issue cannot see. */

/** Bytes of UTF-8 that an issue may have; GitHub itself allows 65,536 characters. */
export const ISSUE_TEXT_LIMIT = 64 * 1024;

export type SanitizedText = {
  /** `\n` line ends, well-formed Unicode, at most `ISSUE_TEXT_LIMIT` bytes. */
  text: string;
  /** What was changed, one line each, for the person who runs the app. */
  notes: string[];
};

/**
 * Removes what GitHub does not show (HTML comments outside code, alternative texts of images, link definitions that lead
 * nowhere) and leaves a mark in its place; writes invisible and direction-changing characters as `<U+200B>`. Joiners
 * between letters of scripts that need them stay. Code blocks keep their text.
 */
export function sanitizeIssueText(raw: string): SanitizedText {
  const notes: string[] = [];
  let text = raw.toWellFormed().replaceAll("\r\n", "\n").replaceAll("\r", "\n");
  if (text.startsWith("\u{FEFF}")) text = text.slice(1);
  const capped = capBytes(text, ISSUE_TEXT_LIMIT);
  if (capped.length < text.length) notes.push(`cut at ${ISSUE_TEXT_LIMIT} bytes`);
  text = stripHidden(capped, notes);
  text = showInvisible(text, notes);
  return { text: capBytes(text, ISSUE_TEXT_LIMIT), notes };
}

function capBytes(text: string, limit: number): string {
  if (Buffer.byteLength(text) <= limit) return text;
  const bytes = Buffer.from(text).subarray(0, limit);
  let end = bytes.length;
  // A cut inside a character leaves continuation bytes (10xxxxxx) behind its lead byte: step back over both.
  while (end > 0 && (bytes[end - 1]! & 0xc0) === 0x80) end--;
  const lead = bytes[end - 1] ?? 0;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  const whole = end - 1 + length <= bytes.length ? end - 1 + length : end - 1;
  return bytes.subarray(0, whole).toString("utf8");
}

/** One pass over the lines, every search an indexOf that only moves forward: linear in the text. */
function stripHidden(text: string, notes: string[]): string {
  const out: string[] = [];
  const counts = { comments: 0, images: 0, definitions: 0 };
  let open: { mark: string; length: number } | null = null;
  let hidden = false;
  for (const line of text.split("\n")) {
    if (open !== null) {
      const close = /^ {0,3}(`+|~+)[ \t]*$/.exec(line)?.[1];
      if (close !== undefined && close[0] === open.mark && close.length >= open.length) open = null;
      out.push(line);
      continue;
    }
    const start = hidden ? null : /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (
      start !== undefined &&
      start !== null &&
      !(start[0] === "`" && line.slice(line.indexOf(start) + start.length).includes("`"))
    ) {
      open = { mark: start[0]!, length: start.length };
      out.push(line);
      continue;
    }
    if (!hidden && /^ {0,3}\[[^\]]{1,200}\]:[ \t]*(#|<>)/.test(line)) {
      counts.definitions++;
      continue;
    }
    const shown = stripLine(line, hidden, counts);
    hidden = shown.hidden;
    out.push(shown.text);
  }
  if (counts.comments > 0) notes.push(`${counts.comments} HTML comment(s) removed`);
  if (counts.images > 0) notes.push(`${counts.images} image(s) removed`);
  if (counts.definitions > 0) notes.push(`${counts.definitions} hidden link definition(s) removed`);
  return out.join("\n");
}

/** Position of `mark` from `at` on, or -1; `missing` remembers what is not there, so that one line is searched once. */
function find(line: string, mark: string, at: number, missing: Set<string>): number {
  if (missing.has(mark)) return -1;
  const found = line.indexOf(mark, at);
  if (found < 0) missing.add(mark);
  return found;
}

function stripLine(
  line: string,
  hidden: boolean,
  counts: { comments: number; images: number },
): { text: string; hidden: boolean } {
  let text = "";
  let at = 0;
  const missing = new Set<string>();
  if (hidden) {
    const close = line.indexOf("-->");
    if (close < 0) return { text: "", hidden: true };
    at = close + 3;
  }
  while (at < line.length) {
    if (line[at] === "`") {
      let run = at;
      while (line[run] === "`") run++;
      const mark = line.slice(at, run);
      const close = mark.length > 16 ? -1 : find(line, mark, run, missing);
      const end = close < 0 ? run : close + mark.length;
      text += line.slice(at, end);
      at = end;
    } else if (line.startsWith("<!--", at)) {
      counts.comments++;
      text += "[hidden comment removed]";
      const close = line.indexOf("-->", at + 4);
      if (close < 0) return { text, hidden: true };
      at = close + 3;
    } else if (line.startsWith("![", at) || /^<img[\s/>]/i.test(line.slice(at, at + 5))) {
      const markdown = line[at] === "!";
      const middle = markdown ? find(line, "](", at, missing) : at;
      const close = middle < 0 ? -1 : find(line, markdown ? ")" : ">", middle, missing);
      if (close < 0) {
        text += line[at];
        at++;
      } else {
        counts.images++;
        text += "[image]";
        at = close + 1;
      }
    } else {
      text += line[at];
      at++;
    }
  }
  return { text, hidden: false };
}

const RTL = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/** Characters that take no room or change the direction of text, and control characters except tab and newline. */
export function isInvisible(code: number): boolean {
  return (
    (code < 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0d && code !== 0x0c) ||
    (code >= 0x7f && code <= 0x9f) ||
    code === 0xad ||
    code === 0x34f ||
    code === 0x61c ||
    code === 0x115f ||
    code === 0x1160 ||
    code === 0x17b4 ||
    code === 0x17b5 ||
    (code >= 0x180b && code <= 0x180f) ||
    (code >= 0x200b && code <= 0x200f) ||
    (code >= 0x2028 && code <= 0x202e) ||
    (code >= 0x2060 && code <= 0x206f) ||
    code === 0x2800 ||
    code === 0x3164 ||
    (code >= 0xfe00 && code <= 0xfe0f) ||
    code === 0xfeff ||
    code === 0xffa0 ||
    (code >= 0xfff9 && code <= 0xfffb) ||
    (code >= 0x1d173 && code <= 0x1d17a) ||
    (code >= 0xe0000 && code <= 0xe0fff)
  );
}

/** The first character of a text that hides something: an emoji's parts and marks that a script needs do not. */
export function hiddenCharacter(text: string): string | null {
  const characters = [...text];
  const hides = (c: string, at: number) =>
    isInvisible(c.codePointAt(0)!) && !isNeeded(c.codePointAt(0)!, characters[at - 1], characters[at + 1]);
  return characters.find(hides) ?? null;
}

function showInvisible(text: string, notes: string[]): string {
  let out = "";
  let shown = 0;
  let run: { code: number; count: number } | null = null;
  const characters = [...text];
  const flush = () => {
    if (run === null) return;
    const name = `U+${run.code.toString(16).toUpperCase().padStart(4, "0")}`;
    out += run.count === 1 ? `<${name}>` : `<${name} ×${run.count}>`;
    run = null;
  };
  for (const [i, c] of characters.entries()) {
    const code = c.codePointAt(0)!;
    if (!isInvisible(code) || isNeeded(code, characters[i - 1], characters[i + 1])) {
      flush();
      out += c;
      continue;
    }
    shown++;
    if (run !== null && (run as { code: number }).code === code) (run as { count: number }).count++;
    else {
      flush();
      run = { code, count: 1 };
    }
  }
  flush();
  if (shown > 0) notes.push(`${shown} invisible character(s) made visible`);
  return out;
}

/** Joiners inside words of other scripts and emoji, one variation selector after a symbol, marks beside right-to-left letters. */
function isNeeded(code: number, before: string | undefined, after: string | undefined): boolean {
  const visible = (c: string | undefined) =>
    c !== undefined && c.codePointAt(0)! > 0x2ff && !isInvisible(c.codePointAt(0)!);
  if (code === 0x200c || code === 0x200d) return (visible(before) || before === "\u{FE0F}") && visible(after);
  if (code === 0xfe0e || code === 0xfe0f) return before !== undefined && /[\p{Emoji}\p{So}\p{Sm}]/u.test(before);
  if (code === 0x200e || code === 0x200f || code === 0x61c) {
    return (before !== undefined && RTL.test(before)) || (after !== undefined && RTL.test(after));
  }
  return false;
}
