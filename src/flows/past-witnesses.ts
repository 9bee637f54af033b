/** What earlier runs of an installation say of the writer of tests and the judge: their matrices, no outcome. */
import type { GroupEvidence } from "../domain/reliability.ts";
import type { Run } from "../domain/run.ts";
import type { RunStore } from "../ports.ts";

/** Runs that are looked through, and groups of them that are used: after some thirty the error rates hardly move. */
const MOST_RUNS = 400;
const MOST_GROUPS = 40;

/**
 * Of the same installation only: nobody else's repository may say whom to believe here. `judge` is null where none scores.
 */
export async function pastWitnesses(
  runs: RunStore,
  current: Pick<Run, "id" | "installationId">,
  names: { writer: string; judge: string | null },
): Promise<GroupEvidence[]> {
  const groups: GroupEvidence[] = [];
  for (const run of await runs.listRuns({ installationId: current.installationId, limit: MOST_RUNS })) {
    if (groups.length === MOST_GROUPS) break;
    if (run.id === current.id || run.finishedAt === null) continue;
    const tests =
      run.reproduction?.writer?.model === names.writer ? run.reproduction.tests.filter((test) => test.kept) : [];
    const judged = names.judge !== null && run.model?.name === names.judge;
    if (tests.length < 2 && !judged) continue;
    const scored = (await runs.candidates(run.id)).filter(({ candidate }) => candidate.status === "scored");
    if (scored.length < 2) continue;
    groups.push({
      passes: scored.map(({ candidate }) => tests.map((test) => test.candidates[candidate.index] === "passed")),
      opinions: scored.map(({ candidate }) => (judged ? candidate.score : null)),
      prior: scored.map(() => 0),
    });
  }
  return groups;
}
