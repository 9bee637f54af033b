/** Who scores functions and who holds duels in one run; what the settings ask for in vain is said, never silently replaced. */
import type { BundledModel, RepoConfig } from "../domain/repo-config.ts";
import type { PairJudge, RewardModel } from "../ports.ts";
import { boundedWords } from "./score-candidates.ts";

export type LlmJudge = RewardModel & PairJudge;

export type ChosenJudges = {
  model: RewardModel;
  pairs: PairJudge | null;
  /** The language model among them; null where none is asked. */
  judge: LlmJudge | null;
  /** Where the scores come from. */
  scorer: "reward" | "judge";
  /** One line for each wish that could not be met. */
  missing: string[];
};

/** What scores without a language model: the bundle that the settings name, else the model of the operator. */
export type Scorers = { model: RewardModel; bundled(name: BundledModel): Promise<RewardModel> };

export function chooseReward({ prm }: Pick<RepoConfig, "prm">, scorers: Scorers): RewardModel | Promise<RewardModel> {
  // Settings of a run that was stored by an earlier version have no such key.
  return (prm.model ?? null) === null ? scorers.model : scorers.bundled(prm.model!);
}

/** @param open opens the language model only when something is asked of it; a text instead says why there is none. */
export async function chooseJudges(
  config: Pick<RepoConfig, "prm" | "fix">,
  scorers: Scorers,
  open: () => LlmJudge | string,
): Promise<ChosenJudges> {
  const model = boundedWords(await chooseReward(config, scorers));
  const [scores, duels] = [config.prm.backend === "llm-judge", config.fix.select === "knockout"];
  const none = { model, pairs: null, judge: null, scorer: "reward" as const };
  if (!scores && !duels) return { ...none, missing: [] };
  const judge = open();
  if (typeof judge === "string")
    return {
      ...none,
      missing: [
        ...(scores
          ? [`No language model judged the functions: ${judge}; the reward model ${model.info.name} scored all.`]
          : []),
        ...(duels ? [`No knockout was held: ${judge}.`] : []),
      ],
    };
  return {
    model: scores ? judge : model,
    pairs: duels ? judge : null,
    judge,
    scorer: scores ? "judge" : "reward",
    missing: [],
  };
}
