/** Reads the Python files of a checkout and finds the functions that an issue is about. */
import { type Found, isTest, locate, relevantCode, type SourceFile } from "../domain/relevance.ts";
import { decodeSource } from "../domain/segment.ts";
import type { Checkout, Syntax } from "../ports.ts";

/** Tokens of code in a prompt. */
const PROMPT_BUDGET = 6_000;
/** Over these, files that share no word with the issue are left out first (rulings 31). */
const MOST_BYTES = 200 * 1024 * 1024;
const MOST_FILES = 4_000;
const LONGEST_FILE = 2 * 1024 * 1024;

export async function findRelevantCode(
  checkout: Checkout,
  issue: { title: string; body: string },
  syntax: Syntax,
  signal: AbortSignal,
): Promise<Found> {
  let python = (await checkout.files()).filter(
    (file) => file.path.endsWith(".py") && file.mode.startsWith("100") && file.size <= LONGEST_FILE,
  );
  const size = python.reduce((sum, file) => sum + file.size, 0);
  if (size > MOST_BYTES || python.length > MOST_FILES) {
    const text = `${issue.title}\n${issue.body}`.toLowerCase();
    const named = (path: string) =>
      path.split("/").some((part) => part.length > 2 && text.includes(part.replace(/\.py$/, "").toLowerCase()));
    python = [...python]
      .sort((a, b) => Number(named(b.path)) - Number(named(a.path)) || Number(isTest(a.path)) - Number(isTest(b.path)))
      .slice(0, MOST_FILES);
  }
  const files: SourceFile[] = [];
  let read = 0;
  for (const { path } of python) {
    signal.throwIfAborted();
    const bytes = await checkout.read(path);
    if (bytes === null) continue;
    read += bytes.length;
    if (read > MOST_BYTES) break;
    const { text } = decodeSource(bytes);
    if (!text.includes("\0")) files.push({ path, text, outline: syntax.outline(text, "python") });
  }
  const { located, named } = locate(files, issue);
  return { located, named, code: relevantCode(files, located, PROMPT_BUDGET) };
}
