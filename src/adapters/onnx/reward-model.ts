/** The embedded reward model: an exported bundle on onnxruntime's CPU library. */
import { InferenceSession, Tensor } from "onnxruntime-node";
import { encode } from "../../domain/encode.ts";
import { FunprmError } from "../../domain/errors.ts";
import type { ModelInfo, ScoredRow, ScoreRow } from "../../domain/model.ts";
import { planWindows, type WindowPart } from "../../domain/windows.ts";
import type { RewardModel } from "../../ports.ts";
import { readBundle, refused } from "./bundle.ts";
import { createTokens, type Tokens } from "./tokens.ts";

/** Padded tokens of one run: attention is quadratic in a row, not in the batch, so small batches lose nothing on a CPU. */
const BATCH_TOKENS = 4096;

/** One sequence to run, and where its rewards go. */
type Sequence = { ids: number[]; reads: { position: number; row: number; completion: number }[] };

/** Opens a bundle folder, proving it by its hashes and by recomputing its parity rows. */
export async function openRewardModel(folder: string): Promise<RewardModel> {
  const { manifest, model, tokenizer } = await readBundle(folder);
  let tokens: Tokens;
  let session: InferenceSession;
  try {
    tokens = createTokens(tokenizer, manifest.stepToken, manifest.padToken);
    session = await InferenceSession.create(model, {
      executionProviders: ["cpu"],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    });
  } catch (error) {
    throw refused(folder, `does not load: ${firstLine(error)}`, error);
  }
  const info: ModelInfo = {
    name: manifest.name,
    version: manifest.version,
    sha256: manifest.modelSha256,
    renderVersion: manifest.renderVersion,
    attention: manifest.attention,
    maxTokens: manifest.maxTokens,
  };
  const opened: RewardModel = {
    info,
    score: (rows, signal) => scoreRows(rows, session, tokens, info.maxTokens, signal),
    dispose: () => session.release(),
  };
  await proveParity(opened, folder, manifest.parity).catch(async (error) => {
    await opened.dispose();
    throw error;
  });
  return opened;
}

async function proveParity(
  model: RewardModel,
  folder: string,
  parity: { tolerance: number; rows: (ScoreRow & { rewards: number[] })[] },
): Promise<void> {
  const scored = await model.score(parity.rows).catch((error) => {
    throw refused(folder, `its parity rows cannot be computed: ${firstLine(error)}`, error);
  });
  parity.rows.forEach((row, index) => {
    row.rewards.forEach((expected, at) => {
      const found = scored[index]!.rewards[at]!;
      if (found === null || Math.abs(found - expected) > parity.tolerance)
        throw refused(
          folder,
          `parity row ${row.id} gives ${found} where the manifest says ${expected}; this machine or tokenizer computes otherwise`,
        );
    });
  });
}

async function scoreRows(
  rows: readonly ScoreRow[],
  session: InferenceSession,
  tokens: Tokens,
  maxTokens: number,
  signal: AbortSignal | undefined,
): Promise<ScoredRow[]> {
  const promptIds = new Map<string, number[]>();
  const sequences: Sequence[] = [];
  const results = rows.map((row, index): ScoredRow => {
    let prompt = promptIds.get(row.prompt);
    if (prompt === undefined) {
      prompt = tokens.ids(row.prompt);
      promptIds.set(row.prompt, prompt);
    }
    const steps = row.completions.map((text) => tokens.ids(text));
    const signatures = row.completions.map((_, at) => {
      const signature = row.signatures?.[at];
      return signature === undefined || signature === "" ? null : tokens.ids(signature);
    });
    const plan = planWindows(
      prompt.length,
      steps.map((ids) => ids.length),
      signatures.map((ids) => ids?.length ?? null),
      maxTokens,
    );
    let truncatedTokens = 0;
    for (const window of plan.windows) {
      const idsOf = (part: WindowPart) => (part.as === "step" ? steps[part.index]! : signatures[part.index]!);
      const encoded = encode(prompt, window.parts.map(idsOf), tokens.stepId, maxTokens);
      if (encoded === null)
        throw new FunprmError("REWARD_MODEL_FAILED", `row ${row.id}: a window does not fit its model`);
      truncatedTokens = Math.max(truncatedTokens, encoded.truncatedTokens);
      const reads = window.parts.flatMap((part, at) =>
        window.targets.includes(part.index)
          ? [{ position: encoded.stepPositions[at]!, row: index, completion: part.index }]
          : [],
      );
      sequences.push({ ids: encoded.ids, reads });
    }
    return {
      id: row.id,
      rewards: row.completions.map(() => null),
      reasons: row.completions.map((_, at) => (plan.tooLong.includes(at) ? "too_long" : null)),
      tokens: steps.map((ids) => ids.length),
      truncatedTokens,
      windowed: plan.windowed,
    };
  });
  for (const batch of batches(sequences)) {
    if (signal?.aborted) throw new FunprmError("INTERRUPTED", "scoring was stopped");
    const { rewards, width } = await run(session, batch, tokens.padId);
    batch.forEach((sequence, line) => {
      for (const { position, row, completion } of sequence.reads) {
        const reward = rewards[line * width + position]!;
        // Not `reward >= 0 && reward <= 1` alone: NaN must land here too.
        if (!(reward >= 0 && reward <= 1))
          throw new FunprmError(
            "REWARD_MODEL_FAILED",
            `row ${rows[row]!.id}: reward ${reward} of step ${completion} is not in [0,1]`,
          );
        results[row]!.rewards[completion] = reward;
      }
    });
  }
  return results;
}

/** Rows of similar length together, within `BATCH_TOKENS` of padded input. */
function* batches(sequences: readonly Sequence[]): Generator<Sequence[]> {
  let batch: Sequence[] = [];
  for (const sequence of sequences.toSorted((a, b) => a.ids.length - b.ids.length)) {
    // Sorted: the newcomer is the longest, so it sets the width.
    if (batch.length > 0 && (batch.length + 1) * sequence.ids.length > BATCH_TOKENS) {
      yield batch;
      batch = [];
    }
    batch.push(sequence);
  }
  if (batch.length > 0) yield batch;
}

async function run(session: InferenceSession, batch: readonly Sequence[], padId: number) {
  const width = Math.max(...batch.map((sequence) => sequence.ids.length));
  // Padding stands on the right of a causal model: no position that is read can see it.
  const input = new BigInt64Array(batch.length * width).fill(BigInt(padId));
  batch.forEach((sequence, line) => {
    sequence.ids.forEach((id, at) => {
      input[line * width + at] = BigInt(id);
    });
  });
  try {
    const output = await session.run({ input_ids: new Tensor("int64", input, [batch.length, width]) }, ["rewards"]);
    return { rewards: output["rewards"]!.data as Float32Array, width };
  } catch (error) {
    throw new FunprmError("REWARD_MODEL_FAILED", `the reward model failed: ${firstLine(error)}`, { cause: error });
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}
