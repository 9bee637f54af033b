/**
 * Best of N: which candidate becomes the pull request, or why none does (method.md section 8, issue A item 7).
 * Raw rewards order candidates; while uncalibrated they never refuse one: abstention rests on evidence only. Below the chance
 * of confidence.ts, which was measured on other problems, none is chosen.
 */
import { ABSTAIN_BELOW, CONFIDENCE_ORIGIN, confidenceOf } from "./confidence.ts";
import { consensus } from "./consensus.ts";
import type { TestEvidence, WrittenEvidence } from "./evidence.ts";
import { hybridChances } from "./hybrid.ts";
import type { Belief } from "./reliability.ts";

/**
 * Rules that a repository can configure. `consensus` is consensus, then reward; `knockout` is what a judge says of the leading
 * candidates, else `hybrid`; under every rule what ran comes first.
 */
export const SELECT_RULES = ["hybrid", "consensus", "prm-mean", "knockout"] as const;
export type SelectRule = (typeof SELECT_RULES)[number];

/** One surviving candidate. Nothing here may come from a private verdict. */
export type Contender = {
  index: number;
  /** Aggregate of its step rewards in [0,1]; null = could not be scored, ranks last. */
  score: number | null;
  /** Rendered steps without their words, joined: what consensus compares. */
  text: string;
  /** How many samples were exactly this one, itself included. */
  multiplicity: number;
  /** Function steps of its chain, at least 1. */
  steps: number;
  /** `path::qualified name` of every function that it changes or adds. */
  touches: string[];
  /** Null when no tests ran on it. */
  tests: TestEvidence | null;
  /** Examples of the issue that fail on base, and how many of them it passes; null when there are none. */
  examples: { passed: number; total: number } | null;
  /** Tests that the model wrote from the issue and that fail on base; null when there are none. */
  written: WrittenEvidence | null;
  /** Candidates that it left behind in the knockout; null when it took no part. */
  knockout: number | null;
};

export type Ranked = {
  index: number;
  consensus: number;
  score: number | null;
  fixed: number;
  /** Examples of the issue that fail on base and pass on it. */
  examples: number;
  /** Written tests that fail on base and pass on it, and the dual agreement of tests and candidates, in [0,1]. */
  written: number;
  agreement: number;
};

export type Selection =
  | { selected: number; ranking: Ranked[]; rule: SelectRule; reason: string; abstention: null }
  | {
      selected: null;
      ranking: Ranked[];
      rule: SelectRule;
      reason: null;
      abstention: { reason: string; help: string[] };
    };

export type SelectOptions = {
  rule: SelectRule;
  /** Seed of the run: ties break at random, but the same way on a replay. */
  seed: number;
  /** How many candidates were asked for. */
  sampled: number;
  /** Why the others did not survive, most frequent first. */
  rejections: string[];
  /** `path` or `path::name` that count as named by the issue (with callers and callees); null when it names nothing. */
  named: ReadonlySet<string> | null;
  /** Where the scores come from: a judge's opinion has a weight of its own. */
  scorer: "reward" | "judge";
  /** Whether an example that fails on base was written as a demand: then a candidate that meets none fixes nothing. */
  demanded: boolean;
  /** How often the writer of tests and the judge err, as far as earlier runs tell. */
  belief: Belief;
};

/** Orders survivors: fixed tests and examples first, then the rule, then the seed. Deterministic for equal arguments. */
export function rank(
  contenders: readonly Contender[],
  { rule, seed, scorer, belief }: Pick<SelectOptions, "rule" | "seed" | "scorer" | "belief">,
): Ranked[] {
  const agreement = consensus(
    contenders.map((one) => one.text),
    contenders.map((one) => one.multiplicity),
  );
  // One step has less to lose than several: by reward it stands no higher than the lowest of those (issue A item 3).
  const several = contenders.flatMap((one) => (one.steps > 1 && one.score !== null ? [one.score] : []));
  const fair = ({ steps, score }: Contender) =>
    steps > 1 || score === null || several.length === 0 ? score : Math.min(score, ...several);
  const most = (values: number[]) => Math.max(0, ...values);
  const [mostFixed, mostExamples] = [
    most(contenders.map((one) => one.tests?.fixed.length ?? 0)),
    most(contenders.map((one) => one.examples?.passed ?? 0)),
  ];
  const soft = hybridChances(
    contenders.map((one, i) => ({
      consensus: agreement[i]!,
      reward: scorer === "reward" ? fair(one) : null,
      opinion: scorer === "judge" ? fair(one) : null,
      passes: rule === "hybrid" ? (one.written?.passes ?? []) : [],
      refuted: (one.tests?.fixed.length ?? 0) < mostFixed || (one.examples?.passed ?? 0) < mostExamples,
    })),
    belief,
  );
  const rows = contenders.map((one, i) => ({
    index: one.index,
    consensus: agreement[i]!,
    score: one.score,
    fixed: one.tests?.fixed.length ?? 0,
    examples: one.examples?.passed ?? 0,
    written: one.written?.passed ?? 0,
    agreement: one.written?.agreement ?? 0,
    soft: soft[i]!,
    fair: fair(one) ?? -1,
    knockout: one.knockout ?? -1,
    tie: seededFraction(seed, one.index),
  }));
  const bySoft = (a: { soft: number }, b: { soft: number }) =>
    Math.abs(b.soft - a.soft) < 1e-13 ? 0 : b.soft - a.soft;
  const byScore = (a: { fair: number }, b: { fair: number }) => b.fair - a.fair;
  const byConsensus = (a: Ranked, b: Ranked) =>
    Math.abs(b.consensus - a.consensus) < 1e-12 ? 0 : b.consensus - a.consensus;
  const byKnockout = (a: { knockout: number }, b: { knockout: number }) => b.knockout - a.knockout;
  const byRule = {
    "prm-mean": [byScore],
    consensus: [byConsensus, byScore],
    hybrid: [bySoft, byScore],
    knockout: [byKnockout, bySoft, byScore],
  }[rule];
  rows.sort((a, b) => {
    if (a.fixed !== b.fixed) return b.fixed - a.fixed;
    if (a.examples !== b.examples) return b.examples - a.examples;
    // The hybrid rule weighs them: who wrote them may be wrong.
    if (rule !== "hybrid" && a.written !== b.written) return b.written - a.written;
    // A candidate without a score ranks last under every rule (rulings 5).
    if ((a.score === null) !== (b.score === null)) return a.score === null ? 1 : -1;
    for (const compare of byRule) {
      const order = compare(a, b);
      if (order !== 0) return order;
    }
    return a.tie - b.tie;
  });
  return rows.map(({ tie: _, soft: __, knockout: ___, fair: ____, ...row }) => row);
}

/** The chosen candidate with the reason, or an abstention that says what would help. */
export function select(contenders: readonly Contender[], options: SelectOptions): Selection {
  const abstain = (ranking: Ranked[], reason: string, help: string[]): Selection => ({
    selected: null,
    ranking,
    rule: options.rule,
    reason: null,
    abstention: { reason, help },
  });
  if (contenders.length === 0) {
    const why = options.rejections.slice(0, 3).join("; ");
    return abstain([], `none of the ${options.sampled} candidates survived screening${why ? ` (${why})` : ""}`, [
      "name the function or file that is wrong, or paste the traceback",
      "give an example of the input, what happens and what should happen",
    ]);
  }
  const whole = contenders.filter((one) => (one.tests?.broke.length ?? 0) === 0);
  if (whole.length === 0) {
    const broken = [...new Set(contenders.flatMap((one) => one.tests?.broke ?? []))].slice(0, 3).join(", ");
    return abstain(
      rank(contenders, options),
      `every surviving candidate breaks a test that passes on the base branch (${broken})`,
      ["say whether those tests describe the behaviour that you want to keep"],
    );
  }
  const ranking = rank(whole, options);
  const fixes = ranking[0]!.fixed > 0 || ranking[0]!.examples > 0 || ranking[0]!.written > 0;
  if (!fixes && options.demanded)
    return abstain(ranking, "no surviving candidate gives what the issue's own examples ask for", [
      "check that the examples say what you want, not what happens today",
      "name the function or file that is wrong, or paste the traceback",
    ]);
  const leader = whole.find((one) => one.index === ranking[0]!.index)!;
  if (options.demanded && ranking[0]!.fixed === 0 && confidenceOf({ ...leader, tests: null }) < ABSTAIN_BELOW) {
    const { passed, total } = leader.examples!;
    return abstain(
      ranking,
      `the best candidate gives ${passed} of the ${total} results that the issue's examples ask for; ${CONFIDENCE_ORIGIN}`,
      [
        "check that the examples say what you want, and that none of them says what happens today",
        "name the function or file that is wrong, or paste the traceback",
      ],
    );
  }
  const written = leader.written?.total ?? 0;
  if (written > 0 && !fixes && whole.every((one) => one.written!.passed === 0))
    return abstain(
      ranking,
      `no surviving candidate passes ${written === 1 ? "the test" : `any of the ${written} tests`} that the model wrote from the issue and that ${written === 1 ? "fails" : "fail"} on base`,
      [
        "give an example of input and expected output: it counts for more than a test that a model wrote",
        "name the function or file that is wrong, or paste the traceback",
      ],
    );
  if (!fixes && options.sampled > 1 && !twoAgree(whole)) {
    return abstain(
      ranking,
      `no two of the ${whole.length} surviving candidates change the same function, so nothing but chance speaks for one of them`,
      [
        "name the function or file that is wrong, or paste the traceback",
        "add a failing test, or an example of input and expected output",
      ],
    );
  }
  if (!fixes && options.named && !leader.touches.some((touch) => isNamed(touch, options.named!))) {
    return abstain(ranking, "the best candidate touches nothing that the issue names", [
      "say in which function or file you expect the change",
    ]);
  }
  return {
    selected: leader.index,
    ranking,
    rule: options.rule,
    reason: reasonFor(ranking, whole, options.rule),
    abstention: null,
  };
}

/** Two samples agree when they change a function in common; a candidate sampled twice agrees with itself. */
function twoAgree(contenders: readonly Contender[]): boolean {
  const seen = new Set<string>();
  for (const one of contenders) {
    if (one.multiplicity > 1) return true;
    for (const touch of new Set(one.touches)) {
      if (seen.has(touch)) return true;
      seen.add(touch);
    }
  }
  return false;
}

function isNamed(touch: string, named: ReadonlySet<string>): boolean {
  return named.has(touch) || named.has(touch.slice(0, touch.indexOf("::")));
}

function reasonFor(ranking: readonly Ranked[], whole: readonly Contender[], rule: SelectRule): string {
  const [best, next] = ranking;
  if (!next) return "the only candidate that survived screening";
  if (best!.fixed > next.fixed)
    return `it makes ${best!.fixed} failing ${best!.fixed === 1 ? "test" : "tests"} pass; the runner-up ${next.fixed}`;
  if (best!.examples > next.examples)
    return `it gives what ${best!.examples} of the issue's examples ask for; the runner-up ${next.examples}`;
  if (best!.written > next.written)
    return `it passes ${best!.written} of the tests that the model wrote from the issue and that fail on base; the runner-up ${next.written}`;
  const most = Math.max(...ranking.filter((one) => one.fixed === best!.fixed).map((one) => one.written));
  if (rule === "hybrid" && best!.written < most)
    return `all evidence together speaks most for it: it passes ${best!.written} of the tests that the model wrote, and the ${most} that another passes are contradicted by the other candidates or the judge`;
  const won = whole.find((one) => one.index === best!.index)?.knockout ?? 0;
  if (rule === "knockout" && won > 0)
    return `it won the knockout of the ${won + 1} leading candidates, every pair asked in both orders`;
  const score = `mean step reward ${format(best!.score)} against ${format(next.score)} of the runner-up`;
  if (rule === "prm-mean") return score;
  return `closest to the other candidates (consensus ${format(best!.consensus)} against ${format(next.consensus)} of the runner-up, ${whole.length} survivors); ${score}`;
}

function format(value: number | null): string {
  return value === null ? "none" : value.toFixed(2);
}

/** A fraction in [0,1) that depends on the seed and the candidate alone (splitmix32). */
export function seededFraction(seed: number, index: number): number {
  let z = (seed ^ Math.imul(index + 1, 0x9e3779b9)) >>> 0;
  z = (z + 0x9e3779b9) >>> 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return ((z ^ (z >>> 15)) >>> 0) / 4294967296;
}
