/**
 * A language model as a scorer: its own P(yes) to one fixed question a prefix, behind the `RewardModel` port. Where the API
 * offers no log-probabilities the share of yes among a few votes stands for it.
 */
import OpenAI, { APIError } from "openai";
import type { Budget } from "../../domain/budget.ts";
import type { PromptMessage } from "../../domain/chain-of-function.ts";
import { FunprmError } from "../../domain/errors.ts";
import { sha256 } from "../../domain/ids.ts";
import {
  JUDGE_QUESTION_SHA256,
  JUDGE_QUESTION_VERSION,
  pairQuestion,
  readAnswer,
  stepQuestion,
  yesProbability,
} from "../../domain/judge-question.ts";
import type { ScoredRow } from "../../domain/model.ts";
import { RENDER_VERSION } from "../../domain/render.ts";
import type { Clock, PairJudge, RewardModel, Spend } from "../../ports.ts";
import { describe, retryDelay } from "./openai-generator.ts";

export type LlmJudgeOptions = {
  apiKey: string;
  /** null = OpenAI's own. */
  baseUrl: string | null;
  model: string;
  /** Dollars per million tokens; null = unknown: then the budget cannot stop. */
  price: { inputPerMillion: number; outputPerMillion: number } | null;
  budget: Budget;
  clock: Clock;
};

const TIMEOUT_MS = 120_000;
const PARALLEL = 4;
const ATTEMPTS = 4;
const TOP_LOGPROBS = 20;
/** One word, and what a model puts around it. */
const MAX_TOKENS = 16;
const VOTES = 5;
/** A prompt of English and code has at least three characters a token; longer questions are not asked. */
const CHARACTERS_PER_TOKEN = 3;
const MAX_PROMPT_TOKENS = 16_384;

/** P(yes) in [0,1], or why there is none. */
type Opinion = { value: number | null; reason: string | null };
type Bill = { costUsd: number };
type Reply = {
  text: string;
  finish: string;
  refused: boolean;
  tokens: { token: string; logprob: number }[];
  costUsd: number;
};

export function createLlmJudge(options: LlmJudgeOptions): RewardModel & PairJudge {
  const client = new OpenAI({
    apiKey: options.apiKey,
    baseURL: options.baseUrl ?? undefined,
    maxRetries: 0,
    timeout: TIMEOUT_MS,
  });
  // `calls`: what one question takes, one with log-probabilities, else the votes; null until the first answer tells.
  const offers: { logprobs: boolean; calls: number | null } = { logprobs: true, calls: null };
  // The same question twice gives the same number and costs once.
  const asked = new Map<string, Promise<Opinion>>();
  const spent: Spend = { costUsd: options.price === null ? null : 0, promptTokens: 0, completionTokens: 0 };
  const keyOf = (messages: readonly PromptMessage[]) => sha256(JSON.stringify(messages));

  const cost = (input: number, output: number): number =>
    options.price === null
      ? 0
      : (input * options.price.inputPerMillion + output * options.price.outputPerMillion) / 1e6;

  async function reply(messages: readonly PromptMessage[], seed: number, signal?: AbortSignal): Promise<Reply> {
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      try {
        const answer = await client.chat.completions.create(
          {
            model: options.model,
            messages: [...messages],
            temperature: offers.logprobs ? 0 : 1,
            seed,
            max_completion_tokens: MAX_TOKENS,
            ...(offers.logprobs ? { logprobs: true, top_logprobs: TOP_LOGPROBS } : {}),
          },
          signal ? { signal } : {},
        );
        const [input, output] = [answer.usage?.prompt_tokens ?? 0, answer.usage?.completion_tokens ?? 0];
        spent.promptTokens += input;
        spent.completionTokens += output;
        if (spent.costUsd !== null) spent.costUsd += cost(input, output);
        const choice = answer.choices[0];
        // White space before the word is no answer yet.
        const first = choice?.logprobs?.content?.find((one) => one.token.trim() !== "");
        return {
          text: choice?.message.content ?? "",
          finish: choice?.finish_reason ?? "",
          refused: Boolean(choice?.message.refusal) || choice?.finish_reason === "content_filter",
          tokens: first?.top_logprobs ?? [],
          costUsd: cost(input, output),
        };
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof APIError && error.status === 400 && offers.logprobs) {
          offers.logprobs = false;
          continue;
        }
        const wait = retryDelay(error, attempt);
        if (wait === null || attempt === ATTEMPTS) {
          const { code, message } = describe(error);
          throw new FunprmError(code, message);
        }
        await options.clock.sleep(wait, signal);
      }
    }
  }

  async function opinion(messages: readonly PromptMessage[], bill: Bill, signal?: AbortSignal): Promise<Opinion> {
    if (promptTokens(messages) > MAX_PROMPT_TOKENS) return { value: null, reason: "too_long" };
    const vote = async (seed: number) => {
      const answer = await reply(messages, seed, signal);
      bill.costUsd += answer.costUsd;
      return answer;
    };
    const first = await vote(0);
    offers.calls ??= first.tokens.length > 0 ? 1 : VOTES;
    if (first.refused) return { value: null, reason: "refused" };
    if (first.tokens.length > 0) {
      const value = yesProbability(first.tokens);
      return { value, reason: value === null ? "no_answer" : null };
    }
    const votes = [readAnswer(first.text)];
    for (let seed = 1; seed < VOTES; seed++) votes.push(readAnswer((await vote(seed)).text));
    const valid = votes.filter((one) => one !== null);
    if (valid.length === 0) return { value: null, reason: first.finish === "length" ? "cut" : "no_answer" };
    return { value: valid.filter(Boolean).length / valid.length, reason: null };
  }

  /** All questions of one call, or none: a ranking in which some went unasked would rank by budget. */
  async function ask(questions: readonly (readonly PromptMessage[])[], signal?: AbortSignal): Promise<Opinion[]> {
    const fresh = new Map(questions.filter((one) => !asked.has(keyOf(one))).map((one) => [keyOf(one), one]));
    const waiting = [...fresh];
    // What a question takes is known after the first: it goes alone, and the others are reserved at what it took.
    for (const batch of offers.calls === null ? [waiting.splice(0, 1), waiting] : [waiting])
      if (!(await askBatch(batch, waiting, signal))) return questions.map(() => ({ value: null, reason: "budget" }));
    return await Promise.all(questions.map((one) => asked.get(keyOf(one))!));
  }

  /** False, and nothing asked, when the budget does not hold `batch`, and at one call each everything that comes after it. */
  async function askBatch(
    batch: readonly (readonly [string, readonly PromptMessage[]])[],
    after: readonly (readonly [string, readonly PromptMessage[]])[],
    signal?: AbortSignal,
  ): Promise<boolean> {
    const most = (all: typeof batch) =>
      all.reduce((sum, [, messages]) => sum + cost(promptTokens(messages), MAX_TOKENS), 0);
    const reserved = most(batch) * (offers.calls ?? VOTES);
    const rest = batch === after ? 0 : most(after);
    if (!options.budget.reserve(reserved + rest)) return false;
    options.budget.giveBack(rest);
    const bill: Bill = { costUsd: 0 };
    const waiting = [...batch];
    const work = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [key, messages] = next;
        const answer = opinion(messages, bill, signal);
        asked.set(key, answer);
        // A call that failed may be asked again; the failure itself reaches the caller through the await.
        answer.catch(() => asked.delete(key));
        await answer;
      }
    };
    try {
      await Promise.all(Array.from({ length: PARALLEL }, work));
    } finally {
      options.budget.giveBack(reserved - bill.costUsd);
    }
    return true;
  }

  return {
    info: {
      name: `llm-judge ${options.model}`,
      version: JUDGE_QUESTION_VERSION,
      sha256: JUDGE_QUESTION_SHA256,
      renderVersion: RENDER_VERSION,
      attention: "causal",
      maxTokens: MAX_PROMPT_TOKENS,
    },
    spent: () => ({ ...spent }),
    async score(rows, signal) {
      const questions = rows.map((row) =>
        row.completions.map((_, at) => stepQuestion(row.prompt, row.completions.slice(0, at + 1))),
      );
      const answers = await ask(questions.flat(), signal);
      return rows.map((row): ScoredRow => {
        const own = answers.splice(0, row.completions.length);
        return {
          id: row.id,
          rewards: own.map(({ value }) => value),
          reasons: own.map(({ reason }) => reason),
          tokens: row.completions.map((text) => Math.ceil(text.length / CHARACTERS_PER_TOKEN)),
          truncatedTokens: 0,
          windowed: false,
        };
      });
    },
    async compare(pairs, signal) {
      const answers = await ask(
        pairs.map(({ prompt, first, second }) => pairQuestion(prompt, first, second)),
        signal,
      );
      return answers.map(({ value }) => value);
    },
    dispose: async () => {},
  };
}

function promptTokens(messages: readonly PromptMessage[]): number {
  return messages.reduce((sum, message) => sum + message.content.length, 0) / CHARACTERS_PER_TOKEN;
}
