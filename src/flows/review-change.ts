/** The functions of a change → rewards, ranks, findings. No LLM, no GPU, no execution, nothing leaves the process. */
import type { Language } from "../domain/function-step.ts";
import { type ReviewOptions, type ReviewReport, reviewReport, type ScoredVersion } from "../domain/review.ts";
import {
  type ChangedFunction,
  neighbourSignatures,
  type ReviewedFile,
  scopeOfReview,
  UNLISTED,
} from "../domain/review-scope.ts";
import type { RewardModel, Syntax } from "../ports.ts";
import { scoreSteps } from "./score-candidates.ts";

/** Signatures of functions of the change that stand beside the statement (method.md section 4, review). */
const MOST_NEIGHBOURS = 20;

export type ReviewRequest = {
  /** What the change is meant to do: title, body, linked issues. Data, never instructions. */
  statement: string;
  files: readonly ReviewedFile[];
  /** Changed files that nobody could name: they are in scope and not scored. */
  unlisted?: number;
  ignored(path: string): boolean;
  /** Null: uncalibrated, as every review is that knows no outcomes. */
  calibration: ReviewOptions["calibration"] | null;
  evidence?: ReviewOptions["evidence"];
};

/** The bundled model has only ever seen Python: a reward for another language is never shown. */
export const VALIDATED_LANGUAGES: ReadonlySet<Language> = new Set(["python"]);

/** Each changed function alone, so that its reward depends on nothing but itself, the statement and its neighbours. */
export async function reviewChange(
  ports: { syntax: Syntax; model: RewardModel },
  request: ReviewRequest,
  signal?: AbortSignal,
): Promise<ReviewReport> {
  const scope = scopeOfReview(request.files, (source, language) => ports.syntax.outline(source, language), {
    validated: VALIDATED_LANGUAGES,
    ignored: request.ignored,
  });
  const { unlisted = 0 } = request;
  if (unlisted > 0)
    scope.notScored.push({
      path: "pull request",
      name: UNLISTED,
      reason: `list of files that GitHub cut short, by ${unlisted} files`,
    });
  const standing = scope.functions.filter((one) => one.after !== null);
  const sides = scope.functions.flatMap((one, index) => {
    if (one.after === null) return [];
    const context = neighbours(one, standing);
    const chain = (side: "after" | "before") => {
      const version = one[side];
      return version === null
        ? []
        : [
            {
              index,
              side,
              id: `${side}-${index}`,
              context,
              steps: [{ rendered: version.rendered, signature: version.signature }],
            },
          ];
    };
    return [...chain("after"), ...(one.change === "modified" ? chain("before") : [])];
  });
  const scored = sides.length === 0 ? [] : await scoreSteps(ports.model, request.statement, sides, {}, signal);
  const scores = scope.functions.map(() => ({ after: null, before: null }) as Scores);
  for (const [at, { index, side }] of sides.entries()) {
    const chain = scored[at]!;
    scores[index]![side] = {
      reward: chain.rewards[0]!,
      attribution: chain.attribution[0]!,
      reason: chain.reasons[0]!,
    };
  }
  return reviewReport(scope, scores, ports.model.info, {
    calibration: request.calibration ?? (() => null),
    evidence: request.evidence ?? (() => []),
  });
}

type Scores = { after: ScoredVersion | null; before: ScoredVersion | null };

export function neighbours(one: ChangedFunction, functions: readonly ChangedFunction[]): string[] {
  const { calls } = (one.after ?? one.before)!;
  const others = functions.flatMap((other) =>
    other === one || other.after === null ? [] : { ...other.after, simpleName: other.simpleName },
  );
  return neighbourSignatures({ simpleName: one.simpleName, calls }, others, MOST_NEIGHBOURS);
}
