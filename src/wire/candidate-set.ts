/** One problem a line of a candidate set (`shared/data/README.md`): what real models wrote for it, with verdicts of real tests. */
import { z } from "zod";

const verdictOrNull = z.boolean().nullable();

export const candidateSetRowSchema = z.object({
  set: z.string().min(1),
  problem_id: z.string().min(1),
  /** One underlying problem, whatever set it stands in: the unit of every split. */
  group: z.string().min(1),
  prompt: z.string(),
  /** Signatures that stand beside the statement (`dataset functions`). */
  context: z.array(z.string()).optional(),
  entry_point: z.string().nullable().optional(),
  io: z.enum(["call", "stdin"]),
  /** Many forms, some of them null (rulings 16). */
  tests: z.unknown(),
  starter_code: z.string().nullable().optional(),
  preamble: z.string().nullable().optional(),
  language: z.string().optional(),
  date: z.string().nullable().optional(),
  difficulty: z.union([z.string(), z.number()]).nullable().optional(),
  license: z.string().optional(),
  candidates: z.array(
    z.object({
      id: z.string().min(1),
      model: z.string(),
      code: z.string(),
      /** Null: not run, or the verdict is not known. */
      passed: verdictOrNull,
      variant: z.string().nullable().optional(),
      /** How often each pool (`model|variant` or `model`) sampled this very program. */
      from: z.record(z.string(), z.number().int().positive()).optional(),
      /** Further samples equal to this one. */
      dups: z.number().int().nonnegative().optional(),
      /** Verdict of each method by its simple name; null where the module crashed. */
      methods: z.record(z.string(), verdictOrNull).nullable().optional(),
      frac_tests: z.number().nullable().optional(),
      kind: z.string().optional(),
      tokens: z.number().optional(),
      selfCertainty: z.number().optional(),
      /** Log-probabilities a token that self-certainty rests on, when not all were there. */
      topK: z.number().int().nullable().optional(),
      /** Whether each step is right, in the order of the source, where it is known by construction (`dataset mutate`). */
      own: z.array(z.literal([0, 1])).optional(),
      /** P(yes) of a language model as a judge, of each prefix; a label in training rows only. */
      opinions: z.array(z.number().min(0).max(1).nullable()).optional(),
      /** [passes, trials] of the completions of each prefix. */
      monteCarlo: z.array(z.tuple([z.number().int().nonnegative(), z.number().int().positive()]).nullable()).optional(),
    }),
  ),
});
