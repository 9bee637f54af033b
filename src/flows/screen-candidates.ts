/** Candidates → those that parse, apply and stay inside the patch rules; exact duplicates collapsed (issue A item 7). */
import type { Candidate, ChangedFile } from "../domain/candidate.ts";
import type { OutlineOf } from "../domain/cof-answer.ts";
import { sha256 } from "../domain/ids.ts";
import { applyEdits } from "../domain/patch.ts";
import { renderStep } from "../domain/render.ts";
import { type PatchPolicy, screenFiles, screenMode, screenPath } from "../domain/screen.ts";
import type { Checkout } from "../ports.ts";

/** `files` is null for a candidate that did not survive. */
export type Screened = { candidate: Candidate; files: ChangedFile[] | null };

export async function screenCandidates(
  candidates: readonly Candidate[],
  checkout: Checkout,
  policy: PatchPolicy,
  outlineOf: OutlineOf,
): Promise<Screened[]> {
  const first = new Map<string, number>();
  const screened: Screened[] = [];
  const modes = new Map((await checkout.files()).map((file) => [file.path, file.mode]));
  for (const candidate of candidates) {
    const result =
      candidate.edits === null ? candidate.reason! : await screenOne(candidate, checkout, modes, policy, outlineOf);
    if (typeof result === "string") {
      screened.push({ candidate: { ...candidate, status: "rejected", reason: result }, files: null });
      continue;
    }
    const key = normalForm(result, outlineOf);
    const twin = first.get(key);
    if (twin !== undefined) {
      screened.push({ candidate: { ...candidate, status: "duplicate", duplicateOf: twin }, files: null });
      continue;
    }
    first.set(key, candidate.index);
    screened.push({ candidate, files: result });
  }
  return screened;
}

/** Changed files, or the reason why there are none. Paths are screened before anything is read. */
async function screenOne(
  candidate: Candidate,
  checkout: Checkout,
  modes: ReadonlyMap<string, string>,
  policy: PatchPolicy,
  outlineOf: OutlineOf,
): Promise<ChangedFile[] | string> {
  const edits = candidate.edits!;
  for (const path of new Set([...edits.functions, ...edits.headers].map((edit) => edit.path))) {
    const reason = screenPath(path, policy) ?? screenMode(path, modes);
    if (reason !== null) return reason;
  }
  const patch = await applyEdits(edits, (path) => checkout.read(path), outlineOf);
  if (!patch.ok) return patch.reason;
  return screenFiles(patch.files, policy) ?? patch.files;
}

/** Equal for candidates that leave equal files behind, comments and blank lines aside. */
function normalForm(files: readonly ChangedFile[], outlineOf: OutlineOf): string {
  const texts = files
    .map((file) => {
      const text = Buffer.from(file.after).toString("latin1");
      return `${file.path}\n${renderStep(text, outlineOf(text).comments)}`;
    })
    .sort();
  return sha256(texts.join("\n\0"));
}
