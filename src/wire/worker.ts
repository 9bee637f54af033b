/**
 * What travels between funprm and a gpu-worker (rulings 19). `gpu-worker/funprm_worker/wire.schema.json` is generated from
 * this file; the Python side is held to it by its tests.
 */
import { z } from "zod";

export const WIRE_VERSION = 1;

const hex64 = z.string().regex(/^[0-9a-f]{64}$/, "a lower-case hex SHA-256");
const reward = z.number().min(0).max(1);

const served = z.object({
  name: z.string().min(1),
  version: z.string().min(1),
  sha256: hex64,
  renderVersion: z.string().min(1),
  attention: z.enum(["causal", "bidirectional"]),
  maxTokens: z.number().int().min(128),
  active: z.boolean(),
});

export const workerInfoSchema = z.object({
  wire: z.literal(WIRE_VERSION, `this program speaks wire ${WIRE_VERSION}`),
  models: z.array(served).min(1),
  /** Whether it takes trainings; absent in workers of before. */
  trains: z.boolean().optional(),
  /** Most of one request. */
  limits: z.object({
    rows: z.number().int().positive(),
    steps: z.number().int().positive(),
    tokens: z.number().int().positive(),
    bytes: z.number().int().positive(),
  }),
});
export type WorkerInfo = z.infer<typeof workerInfoSchema>;

const scoreRow = z.strictObject({
  id: z.string(),
  prompt: z.string(),
  completions: z.array(z.string()).min(1),
  signatures: z.array(z.string()).optional(),
});

export const scoreRequestSchema = z.strictObject({
  renderVersion: z.string(),
  model: z.strictObject({ name: z.string(), version: z.string() }).optional(),
  rows: z.array(scoreRow),
});
export type ScoreRequest = z.infer<typeof scoreRequestSchema>;

const scoredRow = z
  .object({
    id: z.string(),
    rewards: z.array(reward.nullable()),
    reasons: z.array(z.string().nullable()),
    tokens: z.array(z.number().int().nonnegative()),
    truncatedTokens: z.number().int().nonnegative(),
    windowed: z.boolean(),
  })
  .refine(
    (row) => row.reasons.length === row.rewards.length && row.tokens.length === row.rewards.length,
    "rewards, reasons and tokens have one entry per completion",
  )
  .refine(
    (row) => row.rewards.every((value, at) => (value === null) === (row.reasons[at] !== null)),
    "a reward, or null with a reason",
  );

export const scoreReplySchema = z.object({
  model: served.pick({ name: true, version: true, sha256: true, renderVersion: true }),
  rows: z.array(scoredRow),
});

export type ScoreReply = z.infer<typeof scoreReplySchema>;

/** `POST /v1/trainings`: rows by the hash of their gzip file, `base` by the hash of the model's weights. */
export const trainingRequestSchema = z.strictObject({
  id: z.string().regex(/^[0-9a-z-]{4,64}$/),
  config: z.strictObject({
    name: z.string().min(1),
    version: z.string().min(1),
    epochs: z.number().int().positive(),
    seed: z.number().int().nonnegative(),
  }),
  snapshots: z.strictObject({ training: hex64, meta: hex64, validation: hex64, rehearsal: hex64.optional() }),
  base: hex64,
});
export type TrainingRequest = z.infer<typeof trainingRequestSchema>;

export const trainingStatusSchema = z.object({
  id: z.string(),
  state: z.enum(["queued", "running", "done", "failed"]),
  /** The trainer's last line. */
  line: z.string(),
  step: z.number().int().nonnegative(),
  of: z.number().int().positive().nullable(),
  /** What may be fetched of it once it is done. */
  files: z.array(z.string()),
});

export const workerErrorSchema = z.object({
  error: z.object({
    code: z.string(),
    kind: z.enum(["user", "transient", "permanent"]),
    message: z.string(),
    retryAfter: z.number().nonnegative().optional(),
  }),
});

/** The line that a worker prints on stdout once it listens. */
export const workerListeningSchema = z.object({ url: z.url() });

/** What a schema of this folder is to those who may not import zod. */
export type Schema<T> = z.ZodType<T>;
