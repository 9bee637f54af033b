/** One training row a line (rulings 1). The Python side reads the same form in `gpu-worker/funprm_worker/rows.py`. */
import { z } from "zod";

export const trainingRowSchema = z
  .object({
    id: z.string().min(1),
    problem: z.string().min(1),
    group: z.string().min(1),
    date: z.string().nullable(),
    language: z.string().min(1),
    pool: z.string().nullable(),
    prompt: z.string(),
    completions: z.array(z.string()).min(1),
    labels: z.array(z.number().min(0).max(1).nullable()),
    own: z.array(z.union([z.literal(0), z.literal(1)]).nullable()),
    counts: z.array(z.tuple([z.number().int().nonnegative(), z.number().int().positive()]).nullable()),
    source: z.array(
      z.enum(["monte_carlo", "broadcast", "min_rule", "mutation", "unit_test", "outcome", "judge"]).nullable(),
    ),
    weight: z.number().positive(),
    renderVersion: z.string().min(1),
  })
  .refine(
    (row) => [row.labels, row.own, row.counts, row.source].every((column) => column.length === row.completions.length),
    "labels, own, counts and source have one entry per completion",
  );
