/**
 * Consensus: how close a candidate is to the other candidates of the same problem (method.md section 8). No model, no
 * execution. The crowd is right on strong generators and wrong where most samples are wrong.
 */

/** Identifiers, numbers and single punctuation marks; white space and line ends do not count. */
export function lex(text: string): string[] {
  return text.match(/[\p{L}_][\p{L}\p{N}_]*|\p{N}+|[^\s\p{L}\p{N}_]/gu) ?? [];
}

/** Token trigrams, as a set; a text of fewer than three tokens is one gram. */
export function trigrams(text: string): Set<string> {
  const tokens = lex(text);
  if (tokens.length < 3) return new Set(tokens.length === 0 ? [] : [tokens.join(" ")]);
  const grams = new Set<string>();
  for (let i = 0; i + 2 < tokens.length; i++) grams.add(`${tokens[i]} ${tokens[i + 1]} ${tokens[i + 2]}`);
  return grams;
}

/** Jaccard similarity in [0,1]; two empty sets are equal (1). */
export function similarity(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  if (a.size === 0 && b.size === 0) return 1;
  const [small, large] = a.size <= b.size ? [a, b] : [b, a];
  let shared = 0;
  for (const gram of small) if (large.has(gram)) shared++;
  return shared / (a.size + b.size - shared);
}

/**
 * Mean similarity of each text to the other samples, in [0,1]; `multiplicity[i]` says how often text i was sampled (a
 * candidate that was drawn twice agrees with itself). One sample alone has consensus 1.
 */
export function consensus(texts: readonly string[], multiplicity: readonly number[] = texts.map(() => 1)): number[] {
  const grams = texts.map(trigrams);
  const samples = multiplicity.reduce((sum, count) => sum + count, 0);
  if (samples <= 1) return texts.map(() => 1);
  const sums = multiplicity.map((count) => count - 1);
  for (let i = 0; i < texts.length; i++) {
    for (let j = i + 1; j < texts.length; j++) {
      const value = similarity(grams[i]!, grams[j]!);
      sums[i]! += value * multiplicity[j]!;
      sums[j]! += value * multiplicity[i]!;
    }
  }
  return sums.map((sum) => sum / (samples - 1));
}
