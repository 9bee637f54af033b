/** `run.json`: the sealed manifest of one run with its texts (domain/run-manifest.ts). Unknown keys are refused: they would be unsealed. */
import { z } from "zod";

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const treeId = z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/);
const names = z.array(z.string()).max(100_000);
const count = z.int().min(0);
const weights = z.array(z.number().min(0).max(1)).length(12);
const share = z.number().min(0).max(1);

const candidate = z.strictObject({
  index: count,
  answerSha256: hash,
  finishReason: z.string(),
  status: z.enum(["sampled", "scored", "duplicate", "rejected"]),
  reason: z.string().nullable(),
  duplicateOf: count.nullable(),
  rewards: z.array(share.nullable()),
  score: z.number().nullable(),
  evidence: z
    .strictObject({
      tests: z.strictObject({ broke: names, fixed: names }).nullable(),
      examples: z.strictObject({ passed: count, total: count }).nullable(),
      written: z.array(z.boolean()).max(100).nullable(),
      knockout: count.nullable(),
    })
    .nullable(),
});

const manifest = z.strictObject({
  version: z.literal(1),
  funprm: z.string(),
  at: z.string(),
  run: z.strictObject({ id: z.string(), repository: z.string(), issue: count, generation: count }).nullable(),
  base: z.strictObject({ sha: z.string().max(64), tree: treeId }),
  problem: z.strictObject({ key: z.string(), seed: z.int(), titleSha256: hash, bodySha256: hash }),
  settings: z.strictObject({
    candidates: z.int().min(1).max(1024),
    temperature: z.number().nullable(),
    maxTokens: z.int().min(1),
    rule: z.enum(["hybrid", "consensus", "prm-mean", "knockout"]),
    scorer: z.enum(["reward", "judge"]),
    addTest: z.boolean(),
    belief: z.strictObject({ wrongTests: weights, wrongOpinions: weights }),
    blockedPaths: names,
    allowedPaths: names,
    tests: z.strictObject({ run: z.boolean(), command: names.nullable(), timeoutSeconds: z.number() }),
  }),
  prompt: z.strictObject({ version: z.string(), sha256: hash }),
  generator: z.strictObject({ name: z.string(), model: z.string(), origin: z.string() }),
  scorer: z.strictObject({
    name: z.string(),
    version: z.string(),
    sha256: z.string(),
    renderVersion: z.string(),
    attention: z.enum(["causal", "bidirectional"]),
    maxTokens: count,
  }),
  candidates: z.array(candidate).max(1024),
  demanded: z.boolean(),
  addedTest: z.strictObject({ path: z.string(), sha256: hash }).nullable(),
  selection: z.strictObject({
    selected: count.nullable(),
    reason: z.string().nullable(),
    abstention: z.string().nullable(),
  }),
  tree: treeId.nullable(),
});

const base64 = z.string().regex(/^[A-Za-z0-9+/]+={0,2}$/);

export const runFileSchema = z.strictObject({
  manifest,
  seal: z.strictObject({
    sha256: hash,
    signature: z
      .strictObject({ algorithm: z.literal("ed25519"), publicKey: base64.max(200), value: base64.max(200) })
      .nullable(),
  }),
  texts: z.strictObject({
    title: z.string(),
    body: z.string(),
    answers: z.record(z.string().regex(/^\d+$/), z.string()),
    addedTest: z.string().nullable(),
  }),
});
