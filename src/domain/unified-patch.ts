/** Changed files as a patch that `git apply` takes. One hunk a run of changes, three lines of context. */
import type { ChangedFile } from "./candidate.ts";

const CONTEXT = 3;

export function unifiedPatch(files: readonly ChangedFile[]): string {
  return files.map(filePatch).join("");
}

function filePatch(file: ChangedFile): string {
  // latin-1 keeps every byte; the text is given back as the bytes' own UTF-8.
  const before = file.before === null ? [] : splitLines(Buffer.from(file.before).toString("latin1"));
  const after = splitLines(Buffer.from(file.after).toString("latin1"));
  const head =
    file.before === null
      ? `new file mode 100644\n--- /dev/null\n+++ b/${file.path}\n`
      : `--- a/${file.path}\n+++ b/${file.path}\n`;
  const text = `diff --git a/${file.path} b/${file.path}\n${head}${hunks(before, after)}`;
  return Buffer.from(text, "latin1").toString("utf8");
}

/** Lines with their line end; the last one may have none. */
function splitLines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** Replaces what stands between the common head and the common tail: edits of functions are few and near each other. */
function hunks(before: readonly string[], after: readonly string[]): string {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head++;
  let tail = 0;
  while (
    tail < before.length - head &&
    tail < after.length - head &&
    before[before.length - 1 - tail] === after[after.length - 1 - tail]
  )
    tail++;
  const start = Math.max(0, head - CONTEXT);
  const end = Math.min(tail, CONTEXT);
  const line = (mark: string, text: string) =>
    `${mark}${text.endsWith("\n") ? text : `${text}\n\\ No newline at end of file\n`}`;
  const oldCount = before.length - tail + end - start;
  const newCount = after.length - tail + end - start;
  const range = (from: number, count: number) => `${count === 0 ? from : from + 1},${count}`;
  return [
    `@@ -${range(start, oldCount)} +${range(start, newCount)} @@\n`,
    ...before.slice(start, head).map((text) => line(" ", text)),
    ...before.slice(head, before.length - tail).map((text) => line("-", text)),
    ...after.slice(head, after.length - tail).map((text) => line("+", text)),
    ...before.slice(before.length - tail, before.length - tail + end).map((text) => line(" ", text)),
  ].join("");
}
