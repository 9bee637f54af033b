/** Figures with intervals (method.md section 8). Pure and seeded: the same arguments give the same numbers. */

export type Interval = { value: number; ci: [number, number]; problems: number };

/** Deterministic numbers in [0,1) (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Chance that at least one of k drawn without replacement passes: n samples, c of them right (Chen et al. 2021). */
export function passAtK(n: number, c: number, k: number): number {
  if (n - c < k) return 1;
  let none = 1;
  for (let i = n - c + 1; i <= n; i++) none *= 1 - k / i;
  return 1 - none;
}

/**
 * Chance that the best by score of k drawn without replacement passes; ties share. Exact, by order statistics.
 * `scores` and `passes` are of the samples, a program that was drawn twice standing twice.
 */
export function topOfK(scores: readonly number[], passes: readonly number[], k: number): number {
  const order = scores.map((_, index) => index).sort((a, b) => scores[b]! - scores[a]!);
  const n = scores.length;
  let total = 0;
  let above = 0;
  for (let from = 0; from < n; ) {
    let to = from;
    let right = 0;
    while (to < n && scores[order[to]!] === scores[order[from]!]) right += passes[order[to++]!]!;
    const tied = to - from;
    total += (noneOf(n, above, k) - noneOf(n, above + tied, k)) * (right / tied);
    above = to;
    from = to;
  }
  return total;
}

/** Chance that none of the `marked` is among k drawn of n. */
function noneOf(n: number, marked: number, k: number): number {
  if (n - marked < k) return 0;
  let chance = 1;
  for (let i = 0; i < k; i++) chance *= (n - marked - i) / (n - i);
  return chance;
}

/** Sums of one group: `numerator` over its pools, and how many pools there are. */
export type GroupSum = { group: string; numerator: number; denominator: number };

/** Values by group: [group, value] of every pool. */
export function groupSums(rows: readonly (readonly [string, number])[]): GroupSum[] {
  const byGroup = new Map<string, GroupSum>();
  for (const [group, value] of rows) {
    const sum = byGroup.get(group) ?? { group, numerator: 0, denominator: 0 };
    byGroup.set(group, { group, numerator: sum.numerator + value, denominator: sum.denominator + 1 });
  }
  return [...byGroup.values()].sort((a, b) => (a.group < b.group ? -1 : 1));
}

const ROUNDS = 2_000;

/** Σnumerator / Σdenominator with its 95 % bootstrap interval over groups; null without any. */
export function bootstrap(sums: readonly GroupSum[], seed = 0): Interval | null {
  const total = sums.reduce((sum, one) => sum + one.denominator, 0);
  if (total === 0) return null;
  const numerators = Float64Array.from(sums, (one) => one.numerator);
  const denominators = Float64Array.from(sums, (one) => one.denominator);
  const drawn = resampled(sums.length, seed);
  const values = new Float64Array(ROUNDS);
  for (let round = 0, at = 0; round < ROUNDS; round++) {
    let [top, bottom] = [0, 0];
    for (const end = at + sums.length; at < end; at++) {
      top += numerators[drawn[at]!]!;
      bottom += denominators[drawn[at]!]!;
    }
    values[round] = bottom === 0 ? 0 : top / bottom;
  }
  return {
    value: numerators.reduce((sum, one) => sum + one, 0) / total,
    ci: middle95(values),
    problems: sums.filter((one) => one.denominator > 0).length,
  };
}

function middle95(values: Float64Array): [number, number] {
  values.sort();
  return [values[Math.floor(0.025 * values.length)]!, values[Math.ceil(0.975 * values.length) - 1]!];
}

/** A report draws the same indices thousands of times. */
const KEPT = 64;
const kept = new Map<string, Uint32Array>();

/** [ROUNDS × size] indices below `size`, drawn with replacement. */
function resampled(size: number, seed: number): Uint32Array {
  const key = `${size}|${seed}`;
  let drawn = kept.get(key);
  if (drawn === undefined) {
    const random = seeded(seed);
    drawn = new Uint32Array(ROUNDS * size);
    for (let at = 0; at < drawn.length; at++) drawn[at] = Math.floor(random() * size);
    if (kept.size >= KEPT) kept.delete(kept.keys().next().value!);
    kept.set(key, drawn);
  }
  return drawn;
}

/**
 * 95 % interval of the mean over pools where problems and candidate subsets are drawn: what one run with N candidates a
 * problem would show. Each round draws groups, and for each of their pools one subset of candidates, the same for every figure,
 * so that differences are paired.
 * @param groups group of each pool.
 * @param subsets subsets of each pool that were drawn.
 * @returns from one value a subset, pools in order ([pools × subsets], ragged), to the interval; null without pools.
 */
export function subsetBootstrap(
  groups: readonly string[],
  subsets: readonly number[],
  seed = 0,
): (values: Float64Array) => [number, number] | null {
  const members = [...Map.groupBy(groups.keys(), (pool) => groups[pool]!).values()];
  const starts: number[] = [];
  let all = 0;
  for (const count of subsets) {
    starts.push(all);
    all += count;
  }
  const random = seeded(seed);
  const drawn = resampled(members.length, seed);
  const places: number[] = [];
  const ends = new Uint32Array(ROUNDS);
  for (let round = 0; round < ROUNDS; round++) {
    for (let draw = 0; draw < members.length; draw++)
      for (const pool of members[drawn[round * members.length + draw]!]!)
        places.push(starts[pool]! + Math.floor(random() * subsets[pool]!));
    ends[round] = places.length;
  }
  const flat = Uint32Array.from(places);
  return (values) => {
    if (groups.length === 0) return null;
    const means = new Float64Array(ROUNDS);
    for (let round = 0, at = 0; round < ROUNDS; round++) {
      const from = at;
      let sum = 0;
      for (; at < ends[round]!; at++) sum += values[flat[at]!]!;
      means[round] = sum / (at - from);
    }
    return middle95(means);
  };
}

/** Two-sided exact p of McNemar's test: `b` only the first was right, `c` only the second. */
export function mcnemar(b: number, c: number): number {
  const n = b + c;
  if (n === 0) return 1;
  let tail = 0;
  // In logarithms: 0.5 ** n is 0 from n = 1075 on.
  let term = n * Math.log(0.5);
  for (let i = 0; i <= Math.min(b, c); i++) {
    tail += Math.exp(term);
    term += Math.log((n - i) / (i + 1));
  }
  return Math.min(1, 2 * tail);
}

/** Share of pairs (right, wrong) in the right order, ties half; null when all are alike. */
export function pairAuc(scores: readonly number[], passes: readonly number[]): number | null {
  const order = [...scores.keys()].sort((a, b) => scores[a]! - scores[b]!);
  let [good, wrongBelow, right] = [0, 0, 0];
  for (let from = 0; from < order.length; ) {
    let [to, tiedRight, tiedWrong] = [from, 0, 0];
    for (; to < order.length && scores[order[to]!] === scores[order[from]!]; to++)
      if (passes[order[to]!] === 1) tiedRight += 1;
      else if (passes[order[to]!] === 0) tiedWrong += 1;
    good += tiedRight * (wrongBelow + tiedWrong / 2);
    wrongBelow += tiedWrong;
    right += tiedRight;
    from = to;
  }
  const pairs = right * wrongBelow;
  return pairs === 0 ? null : good / pairs;
}
