/**
 * Commands in comments (product.md 3.5): `/funprm VERB`, or `@funprm VERB`, alone at the start of a line, outside code
 * fences, quotes and HTML comments. Only the verbs that are built are verbs.
 */

export const COMMAND_VERBS = [
  "fix",
  "review",
  "ignore",
  "resolve",
  "wrong",
  "right",
  "pause",
  "resume",
  "stop",
  "retry",
  "help",
  "config",
  "report",
] as const;

/** What `/funprm fix` can narrow for one run. Absent = the repository's setting. */
export type FixOptions = {
  /** Candidates, 1 to 64. */
  n?: number;
  /** Dollars, above 0 and at most 1,000. */
  budget?: number;
  /** Glob that the patch must stay inside. */
  path?: string;
};

export type Command =
  | { verb: "fix"; options: FixOptions }
  /** `full`: every function afresh, not only those that changed since the last review. */
  | { verb: "review"; full: boolean }
  /** What stands behind the verb: which finding is meant, or the whole pull request, and for verdicts the reason. */
  | { verb: "ignore" | "wrong" | "right"; text: string }
  | { verb: "resolve" | "pause" | "resume" }
  | { verb: "stop" | "retry" | "help" | "config" | "report" }
  /** Not a command of ours: `hint` is the one line to answer with. */
  | { verb: "unknown"; hint: string };

/** Characters kept of what stands behind a verb. */
const LONGEST_TEXT = 500;
const VERBS = `one of ${COMMAND_VERBS.map((verb) => `\`${verb}\``).join(", ")}`;

/** The first command of a comment; null when it holds none. Linear in the length of the body. */
export function parseCommand(body: string): Command | null {
  for (const line of commandLines(body)) {
    const words = line.trim().split(/\s+/);
    const name = words[0]!.toLowerCase();
    if (name === "/funprm" || name === "@funprm") return readCommand(words.slice(1));
  }
  return null;
}

/** Lines where a command may stand. */
function* commandLines(body: string): Generator<string> {
  let fence: { mark: string; length: number } | null = null;
  let inComment = false;
  let inQuote = false;
  for (const line of body.split(/\r\n|\n|\r/)) {
    const text = line.trimStart();
    // Four columns make an indented code block.
    const indented = /^( {4}| {0,3}\t)/.test(line);
    if (fence) {
      const closing = runLength(text, fence.mark);
      if (!indented && closing >= fence.length && text.slice(closing).trim() === "") fence = null;
      continue;
    }
    if (inComment) {
      inComment = !line.includes("-->");
      continue;
    }
    if (text === "") {
      inQuote = false;
      continue;
    }
    if (indented) continue;
    if (text.startsWith(">")) {
      inQuote = true;
      continue;
    }
    const mark = text[0]!;
    if ((mark === "`" || mark === "~") && runLength(text, mark) >= 3) {
      fence = { mark, length: runLength(text, mark) };
      inQuote = false;
      continue;
    }
    const opened = line.lastIndexOf("<!--");
    if (opened !== -1) {
      inComment = !line.includes("-->", opened);
      if (text.startsWith("<!--")) continue;
    }
    // A line right below a quote still renders inside it.
    if (!inQuote) yield line;
  }
}

function runLength(text: string, mark: string): number {
  let length = 0;
  while (text[length] === mark) length += 1;
  return length;
}

function readCommand(words: string[]): Command {
  const verb = (words[0] ?? "help").toLowerCase();
  if (verb === "fix") return readFix(words.slice(1));
  if (verb === "review") return { verb, full: words[1]?.toLowerCase() === "full" };
  if (verb === "ignore" || verb === "wrong" || verb === "right")
    return { verb, text: words.slice(1).join(" ").slice(0, LONGEST_TEXT) };
  if (verb === "resolve" || verb === "pause" || verb === "resume") return { verb };
  if (verb === "stop" || verb === "retry" || verb === "help" || verb === "config" || verb === "report") return { verb };
  return { verb: "unknown", hint: `\`${shown(words[0]!)}\` is not a command: ${VERBS}` };
}

function readFix(words: string[]): Command {
  const options: FixOptions = {};
  for (const word of words) {
    const equals = word.indexOf("=");
    const key = word.slice(0, Math.max(equals, 0)).toLowerCase();
    const value = word.slice(equals + 1);
    if (key === "n") {
      options.n = Number(value);
      if (!/^\d{1,2}$/.test(value) || options.n < 1 || options.n > 64)
        return unknown(`\`n=${shown(value)}\` must be a whole number from 1 to 64, as in \`n=8\``);
    } else if (key === "budget") {
      options.budget = Number(value);
      if (!/^\d{1,4}(\.\d{1,2})?$/.test(value) || options.budget <= 0 || options.budget > 1_000)
        return unknown(`\`budget=${shown(value)}\` must be dollars, as in \`budget=1.50\``);
    } else if (key === "path") {
      options.path = value;
      if (value === "" || value.length > 200 || value.startsWith("/") || value.split("/").includes(".."))
        return unknown(`\`path=${shown(value)}\` must be a pattern inside the repository, as in \`path=src/**\``);
    } else {
      return unknown(`\`${shown(word)}\` is not an option of \`fix\`: \`n=8\`, \`budget=1.50\`, \`path=src/**\``);
    }
  }
  return { verb: "fix", options };
}

function unknown(hint: string): Command {
  return { verb: "unknown", hint };
}

/** A user's word inside our own backticks: short, and nothing in it can leave them or mention anybody. */
function shown(word: string): string {
  return word.replace(/[^\w./*=+-]/g, "?").slice(0, 40);
}
