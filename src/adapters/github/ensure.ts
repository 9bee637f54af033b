/** The way every write goes (security.md 5): look, write once, and look again when the write may have happened all the same. */
import { FunprmError } from "../../domain/errors.ts";
import { mayHaveHappened } from "./refusal.ts";

/** The effect that `look` finds, before or after an uncertain `write`; else what `write` made. */
export async function ensure<T>(look: () => Promise<T | null>, write: () => Promise<T>): Promise<T> {
  const found = await look();
  if (found !== null) return found;
  try {
    return await write();
  } catch (error) {
    if (!mayHaveHappened(error)) throw error;
    const after = await look();
    if (after !== null) return after;
    throw error;
  }
}

/** `null` for what is not there. */
export async function orNull<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof FunprmError && error.code === "GITHUB_GONE") return null;
    throw error;
  }
}

/** GitHub counts 65,536 characters a body; the renderer keeps 65,000 (product.md 4.3). */
const LONGEST_BODY = 65_536;

/** The body with its marker as first line. A body too long is the renderer's fault: nothing is cut here. */
export function markedBody(marker: string, body: string): string {
  return checkedBody(body.startsWith(marker) ? body : `${marker}\n${body}`);
}

export function checkedBody(body: string): string {
  if (body.length <= LONGEST_BODY) return body;
  throw new FunprmError("GITHUB_REFUSED", `a body of ${body.length} characters is over GitHub's ${LONGEST_BODY}`);
}
