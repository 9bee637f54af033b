/**
 * What is evaluated: the candidates of one problem by one generator and prompt variant, with what a selector may see. The
 * private verdicts stand apart, so that no selector can read one (method.md section 10).
 */
import { similarity, trigrams } from "../domain/consensus.ts";
import type { Readability } from "../domain/readability.ts";
import type { Granularity } from "./granularity.ts";

/** Rewards and token counts of the pieces of one program, in order. */
export type PieceRewards = { rewards: (number | null)[]; tokens: number[] };

/** One distinct program of a pool. */
export type Member = {
  /** `set/candidate id`. */
  id: string;
  /** How often it was sampled. */
  count: number;
  /** Place in the set's order. */
  order: number;
  /** Characters of the rendered program. */
  length: number;
  parsed: boolean;
  /** Some function holds another. */
  nested: boolean;
  /** Every function opens with a docstring. */
  documented: boolean;
  /** By the cut of the program; a cut that nothing scored is absent. */
  rewards: Partial<Record<Granularity, PieceRewards>>;
  /** The same of a second model, which the first is compared with. */
  second: Partial<Record<Granularity, PieceRewards>>;
  selfCertainty: number | null;
  /** Self-certainty rests on the k most probable tokens only: it is approximate. */
  topK: number | null;
  /** Rendered source of each function without its words, by simple name. */
  functions: { name: string; text: string }[];
  /** Examples of the statement that it passed; null where the statement holds none, or none ran. */
  examples: { passed: number; total: number } | null;
  /** Its output on each generated input, encoded; null where it was not run. */
  outputs: string[] | null;
  readability: Readability | null;
};

export type Pool = {
  set: string;
  problem: string;
  group: string;
  /** `model|variant`. */
  generator: string;
  model: string;
  /** `easy`, `medium`, `hard`, or what else the set says. */
  difficulty: string | null;
  date: string | null;
  members: Member[];
};

/** Verdict of the private tests by member id. Only the oracle and the statistics hold one of these. */
export type PrivateVerdicts = ReadonlyMap<string, boolean>;

/** Index of a member for every sample: a program that was drawn three times stands three times. */
export function samplesOf(pool: Pool): number[] {
  return pool.members.flatMap((member, index) => Array.from({ length: member.count }, () => index));
}

/** Similarity of every two members, computed when first asked for: [members × members], row-major, in [0,1]. */
export type Matrices = { text(): Float64Array; functions(): Float64Array; outputs(): Float64Array | null };

export function matrices(pool: Pool): Matrices {
  const size = pool.members.length;
  const fill = (of: (i: number, j: number) => number) => {
    const values = new Float64Array(size * size);
    for (let i = 0; i < size; i++) {
      for (let j = i; j < size; j++) {
        const value = i === j ? 1 : of(i, j);
        values[i * size + j] = value;
        values[j * size + i] = value;
      }
    }
    return values;
  };
  return {
    text: once(() => {
      const grams = pool.members.map((member) => trigrams(member.functions.map(({ text }) => text).join("\n")));
      return fill((i, j) => similarity(grams[i]!, grams[j]!));
    }),
    functions: once(() => {
      const grams = pool.members.map(
        (member) => new Map(member.functions.map(({ name, text }) => [name, trigrams(text)])),
      );
      return fill((i, j) => {
        const [a, b] = [grams[i]!, grams[j]!];
        const names = new Set([...a.keys(), ...b.keys()]);
        let sum = 0;
        for (const name of names) if (a.has(name) && b.has(name)) sum += similarity(a.get(name)!, b.get(name)!);
        return names.size === 0 ? 1 : sum / names.size;
      });
    }),
    outputs: once(() => {
      if (pool.members.every((member) => member.outputs === null)) return null;
      return fill((i, j) => agreement(pool.members[i]!.outputs, pool.members[j]!.outputs));
    }),
  };
}

/** Share of inputs with the same output. A candidate that raised or was not run agrees with nobody there. */
function agreement(a: readonly string[] | null, b: readonly string[] | null): number {
  if (a === null || b === null || a.length === 0) return 0;
  let same = 0;
  for (let k = 0; k < a.length; k++) if (a[k] === b[k] && !a[k]!.startsWith(FAILED)) same += 1;
  return same / a.length;
}

/** First characters of an output that is none: the class of the error follows. */
export const FAILED = "!";

function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** Mean of `matrix` from each drawn sample to the other drawn ones; 1 for a sample alone, as consensus.ts has it. */
export function meanToOthers(matrix: Float64Array, size: number, drawn: readonly number[]): number[] {
  if (drawn.length === 1) return [1];
  return drawn.map((member, i) => {
    let sum = 0;
    for (let j = 0; j < drawn.length; j++) if (j !== i) sum += matrix[member * size + drawn[j]!]!;
    return sum / (drawn.length - 1);
  });
}
