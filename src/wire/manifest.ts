/** `manifest.json` of a model bundle (contracts.md, "Model bundle"): what identifies a reward model and proves that it loaded right. */
import { z } from "zod";

const hex64 = z.string().regex(/^[0-9a-f]{64}$/, "a lower-case hex SHA-256");

/** Rows whose rewards were computed where the model was exported; recomputed at every load. */
const parity = z.object({
  tolerance: z.number().positive().max(0.01),
  rows: z
    .array(
      z
        .object({
          id: z.string(),
          prompt: z.string(),
          completions: z.array(z.string()).min(1),
          rewards: z.array(z.number().min(0).max(1)).min(1),
        })
        .refine((row) => row.rewards.length === row.completions.length, "as many rewards as completions"),
    )
    .min(1),
});

export const manifestSchema = z
  .object({
    name: z.string().min(1),
    version: z.string().min(1),
    renderVersion: z.string().min(1),
    attention: z.enum(["causal", "bidirectional"]),
    stepToken: z.string().min(1),
    padToken: z.string().min(1).default("<|pad|>"),
    maxTokens: z.number().int().min(128),
    parameters: z.number().int().positive(),
    tokenizerSha256: hex64,
    modelSha256: hex64,
    trainedOn: z
      .object({
        sets: z.array(z.object({ set: z.string(), rows: z.number().int().positive(), licence: z.string() })),
        groupsSha256: hex64.nullable(),
        rows: z.number().int().nonnegative(),
      })
      .loose(),
    /** Settings of the training: correction form, loss, tokens seen, seed. */
    method: z.record(z.string(), z.unknown()),
    /** On held-out groups, with 95 % intervals; MODEL_CARD.md is made from it. */
    metrics: z.record(z.string(), z.unknown()),
    calibration: z.unknown().nullable(),
    parity,
    licence: z.string().min(1),
  })
  .loose();

export type Manifest = z.infer<typeof manifestSchema>;
