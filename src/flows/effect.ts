/** One remote write, at most once (security.md section 5): planned → sent → confirmed, each committed before the next step. */
import type { RunStore } from "../ports.ts";

/**
 * The remote id of the effect (run, kind, key). `write` itself looks for the effect on GitHub before it writes, so an
 * attempt that died between request and reply is adopted, not repeated. Writes of a stale fence are refused by the store.
 */
export async function effect(
  runs: RunStore,
  at: { runId: string; kind: string; key: string; fence: number },
  write: () => Promise<string>,
): Promise<string> {
  const { fence, ...identity } = at;
  const known = await runs.effect(at.runId, at.kind, at.key);
  if (known?.state === "confirmed" && known.remoteId !== null) return known.remoteId;
  if (!known) await runs.saveEffect({ ...identity, state: "planned", remoteId: null }, fence);
  await runs.saveEffect({ ...identity, state: "sent", remoteId: null }, fence);
  const remoteId = await write();
  await runs.saveEffect({ ...identity, state: "confirmed", remoteId }, fence);
  return remoteId;
}
