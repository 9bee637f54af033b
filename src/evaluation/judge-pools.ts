/** What each selector does on each pool: expected pass over draws, and one seeded pick. Pure and seeded. */
import { type Matrices, matrices, type Pool, type PrivateVerdicts, samplesOf } from "./pools.ts";
import { SELECTORS, type Selector } from "./selectors.ts";
import { passAtK, seeded, topOfK } from "./statistics.ts";

/** Draws of N where scores depend on who was drawn, and for intervals over subsets. */
const DRAWS = 128;

export type EvaluateSettings = { n: readonly number[]; reportN: number; seed: number; selectors?: readonly Selector[] };

/** What one selector does on one pool at one N. */
export type Outcome = {
  /** Expected pass over draws. */
  pass: number;
  /** Expected pass of each of the draws, ties shared; null but at the report's N. */
  draws: Float64Array | null;
  /** Whether the pick of one seeded draw passes (ties broken by the seed), and how sure the selector is of it. */
  once: { member: number; pass: boolean; confidence: number };
};

/** A pool with both verdicts, and what each selector does there. */
export type Judged = {
  pool: Pool;
  /** By member, 0 or 1. */
  passes: number[];
  /** Member of every sample. */
  samples: number[];
  outcomes: Map<string, Map<number, Outcome>>;
};

export function judgePools(pools: readonly Pool[], verdicts: PrivateVerdicts, settings: EvaluateSettings): Judged[] {
  const selectors = settings.selectors ?? SELECTORS;
  return pools.flatMap((pool) => {
    const passes = pool.members.map((member) => Number(verdicts.get(member.id)));
    const samples = samplesOf(pool);
    if (!passes.includes(0) || !passes.includes(1)) return [];
    const similarities = matrices(pool);
    const draws = drawsOf(pool, samples, settings);
    const outcomes = new Map<string, Map<number, Outcome>>();
    for (const selector of selectors) {
      const byN = outcomesOf(selector, pool, similarities, samples, passes, draws, settings);
      if (byN !== null) outcomes.set(selector.name, byN);
    }
    const right = samples.filter((member) => passes[member] === 1).length;
    const oracle = new Map<number, Outcome>();
    for (const [n, drawn] of draws) {
      const pass = passAtK(samples.length, right, n);
      const member = drawn[0]!.find((one) => passes[one] === 1) ?? drawn[0]![0]!;
      const any = (one: readonly number[]) => Number(one.some((each) => passes[each] === 1));
      oracle.set(n, {
        pass,
        draws: n === settings.reportN ? Float64Array.from(drawn, any) : null,
        once: { member, pass: passes[member] === 1, confidence: 1 },
      });
    }
    outcomes.set("oracle", oracle);
    return [{ pool, passes, samples, outcomes }];
  });
}

function outcomesOf(
  selector: Selector,
  pool: Pool,
  similarities: Matrices,
  samples: readonly number[],
  passes: readonly number[],
  draws: ReadonlyMap<number, number[][]>,
  settings: EvaluateSettings,
): Map<number, Outcome> | null {
  const own = selector.kind === "own" ? selector.scores(pool) : null;
  const scorer = selector.kind === "own" ? null : selector.scorer(pool, similarities);
  if (own === null && scorer === null) return null;
  const confidences = selector.kind === "own" ? undefined : selector.confidences?.(pool, similarities);
  const byN = new Map<number, Outcome>();
  for (const [n, all] of draws) {
    const isReported = n === settings.reportN;
    const passOfDraws = new Float64Array(all.length);
    let once: Outcome["once"] | null = null;
    for (const [at, drawn] of all.entries()) {
      // An exact figure needs no draws but those of the interval over subsets.
      if (own !== null && at > 0 && !isReported) break;
      const scores = own === null ? scorer!(drawn) : drawn.map((member) => own[member]!);
      let [best, right, tied] = [Number.NEGATIVE_INFINITY, 0, 0];
      for (let k = 0; k < drawn.length; k++) {
        if (scores[k]! > best) [best, right, tied] = [scores[k]!, 0, 0];
        if (scores[k] === best) {
          tied += 1;
          right += passes[drawn[k]!]!;
        }
      }
      passOfDraws[at] = right / tied;
      once ??= pick(drawn, scores, best, passes, settings.seed, confidences);
    }
    const pass =
      own !== null
        ? topOfK(
            samples.map((member) => own[member]!),
            samples.map((member) => passes[member]!),
            n,
          )
        : n === 1
          ? samples.reduce((sum, member) => sum + passes[member]!, 0) / samples.length
          : passOfDraws.reduce((sum, one) => sum + one, 0) / all.length;
    byN.set(n, { pass, draws: isReported ? passOfDraws : null, once: once! });
  }
  return byN;
}

/** The same draws for every selector, so that they are compared on the same candidates: N → members of each draw. */
function drawsOf(pool: Pool, samples: readonly number[], settings: EvaluateSettings): Map<number, number[][]> {
  const found = new Map<number, number[][]>();
  for (const n of settings.n) {
    if (n > samples.length) continue;
    // With all samples drawn there is one draw.
    const count = n === samples.length ? 1 : DRAWS;
    found.set(
      n,
      Array.from({ length: count }, (_, draw) => drawOf(pool, n, settings.seed, draw, samples)),
    );
  }
  return found;
}

function drawOf(pool: Pool, n: number, seed: number, draw: number, samples: readonly number[]): number[] {
  const random = seeded(hash(`${seed}|${draw}|${pool.set}|${pool.problem}|${pool.generator}`));
  const left = [...samples];
  for (let at = 0; at < n; at++) {
    const other = at + Math.floor(random() * (left.length - at));
    [left[at], left[other]] = [left[other]!, left[at]!];
  }
  return left.slice(0, n);
}

function pick(
  drawn: readonly number[],
  scores: readonly number[],
  best: number,
  passes: readonly number[],
  seed: number,
  confidences: ((drawn: readonly number[]) => number[]) | undefined,
): Outcome["once"] {
  const tied = drawn.flatMap((_, at) => (scores[at] === best ? [at] : []));
  const at = tied[Math.floor(seeded(hash(`${seed}|${drawn.join()}`))() * tied.length)]!;
  const member = drawn[at]!;
  return { member, pass: passes[member] === 1, confidence: confidences ? confidences(drawn)[at]! : best };
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return value >>> 0;
}
