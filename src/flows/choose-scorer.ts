/** Who scores a run: the gpu-worker where one is configured and answers, else the embedded model. Never both in one run. */
import { FunprmError } from "../domain/errors.ts";
import type { Clock, Log, RewardModel } from "../ports.ts";

/** After so many failures in a row the worker is not asked for a while (security.md). */
const FAILURES = 5;
const PAUSE_MS = 30_000;

/** What is scored: candidates of a run, or the changed functions of a pull request, each alone. */
export type Scored = "candidates" | "functions";

/** `note` is told where the result is shown; null when who was asked for scores. */
export type Scorer = { model: RewardModel; note: string | null };

/**
 * The choice is made once a run and kept: a worker that fails after it has been chosen fails the run's attempt, which is
 * tried again and chooses anew. So the rewards of one ranking are always of one model, the one that the run names.
 */
export function createScorerChoice(parts: {
  /** The embedded model for it. */
  embedded(scored: Scored): Promise<RewardModel>;
  /** Opens the worker; null when none is configured. */
  worker: (() => Promise<RewardModel>) | null;
  clock: Clock;
  log: Log;
}): (scored: Scored) => Promise<Scorer> {
  const { worker, clock, log } = parts;
  let failures = 0;
  let closedUntil = 0;
  const failed = () => {
    failures += 1;
    if (failures >= FAILURES) closedUntil = clock.now().getTime() + PAUSE_MS;
  };
  const instead = async (scored: Scored, why: string): Promise<Scorer> => {
    const model = await parts.embedded(scored);
    const { name, version } = model.info;
    log.warn("the embedded model scores instead of the gpu-worker", { why });
    return {
      model,
      note: `The configured GPU worker did not score (${why}); the embedded model ${name} ${version} scored all.`,
    };
  };
  return async (scored) => {
    if (worker === null) return { model: await parts.embedded(scored), note: null };
    if (clock.now().getTime() < closedUntil) return instead(scored, "it failed several times just now");
    try {
      const opened = await worker();
      return { model: counted(opened), note: null };
    } catch (error) {
      failed();
      // The address of the worker is the operator's, and no business of who reads a pull request.
      log.warn("gpu-worker", { error: error instanceof Error ? error.message : String(error) });
      return await instead(
        scored,
        error instanceof FunprmError && error.kind === "transient" ? "it does not answer" : "it is refused",
      );
    }
  };

  function counted(opened: RewardModel): RewardModel {
    return {
      info: opened.info,
      score: async (rows, signal) => {
        try {
          const scored = await opened.score(rows, signal);
          failures = 0;
          return scored;
        } catch (error) {
          if (!signal?.aborted) failed();
          throw error;
        }
      },
      dispose: () => opened.dispose(),
    };
  }
}
