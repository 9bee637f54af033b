/** Links to run pages, signed and expiring (rulings 25): a run page can hold private code. */
import { createHmac, timingSafeEqual } from "node:crypto";

/** Query of a link that opens one run until `expires` (Unix seconds). */
export function signLink(key: string, runId: string, expires: number): string {
  return `expires=${expires}&sig=${signature(key, runId, expires)}`;
}

/** Whether the query of a request opens the run now. */
export function opensRun(key: string, runId: string, query: URLSearchParams, now: Date): boolean {
  const expires = Number(query.get("expires"));
  if (!Number.isSafeInteger(expires) || expires * 1000 <= now.getTime()) return false;
  const expected = Buffer.from(signature(key, runId, expires));
  const given = Buffer.from(query.get("sig") ?? "");
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function signature(key: string, runId: string, expires: number): string {
  return createHmac("sha256", key).update(`run ${runId} ${expires}`).digest("hex");
}
