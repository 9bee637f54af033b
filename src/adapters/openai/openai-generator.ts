/** Any OpenAI-compatible chat API behind the `Generator` port. Retries, time-outs and the budget live here and nowhere else. */
import OpenAI, { APIConnectionError, APIError } from "openai";
import type { Budget } from "../../domain/budget.ts";
import type { SamplingFacts } from "../../domain/candidate.ts";
import { FunprmError } from "../../domain/errors.ts";
import { selfCertainty } from "../../domain/self-certainty.ts";
import type { Clock, FailedSample, Generator, Sample, SampleRequest } from "../../ports.ts";

export type OpenAIOptions = {
  apiKey: string;
  /** null = OpenAI's own. */
  baseUrl: string | null;
  model: string;
  /** Dollars per million tokens; null = unknown: then only tokens are counted and the budget cannot stop. */
  price: { inputPerMillion: number; outputPerMillion: number } | null;
  budget: Budget;
  clock: Clock;
  /** The package's time-out ends at the headers; this one is between two chunks. */
  idleMs?: number;
};

const IDLE_MS = 120_000;
const PARALLEL = 4;
const ATTEMPTS = 4;
const BACKOFF_MS = { first: 1_000, longest: 30_000 };
const TOP_LOGPROBS = 5;
/** A prompt of English and code has at least three characters a token. */
const CHARACTERS_PER_TOKEN = 3;

/** No model that goes on from here writes anything but the next letter; one that begins anew greets, repeats or fences. */
const PROBE = { ask: "Write the lower-case alphabet without spaces.", prefix: "abcdefghijkl", next: "m" };
/** vLLM and SGLang go on inside the last message instead of opening a new turn. */
const CONTINUES = { continue_final_message: true, add_generation_prompt: false };

type Outcome = Sample | FailedSample;

export function createOpenAIGenerator(options: OpenAIOptions): Generator {
  const client = new OpenAI({
    apiKey: options.apiKey,
    baseURL: options.baseUrl ?? undefined,
    maxRetries: 0,
    timeout: options.idleMs ?? IDLE_MS,
  });
  // Log-probabilities are offered by some providers only: the first refusal switches them off for the rest.
  const offers = { logprobs: true };
  const { budget } = options;
  return {
    name: "openai",
    model: options.model,
    origin: "llm",
    async provePrefill(signal) {
      const probe: SampleRequest = {
        messages: [{ role: "user", content: PROBE.ask }],
        prefix: PROBE.prefix,
        n: 1,
        temperature: 0,
        seed: null,
        maxTokens: 8,
        problem: "prefill",
      };
      const outcome = await sampleOne(client, options, { logprobs: false }, probe, 0, signal);
      budget.giveBack(-(outcome.facts?.costUsd ?? 0));
      if ("text" in outcome && outcome.text.startsWith(PROBE.next)) return;
      if ("error" in outcome && outcome.error.code === "GENERATOR_TRANSIENT")
        throw new FunprmError("GENERATOR_TRANSIENT", outcome.error.message);
      const why = "text" in outcome ? "begins a new answer" : `said: ${outcome.error.message}`;
      throw new FunprmError(
        "GENERATOR_REFUSED",
        `${options.model} does not go on from a prefix (asked to, its API ${why}): a rollout may rewrite nothing, so use a server that continues the last message (vLLM, SGLang), or leave out --completions llm`,
      );
    },
    async *sample(request, signal): AsyncGenerator<Outcome> {
      const wanted = Array.from({ length: request.n }, (_, index) => index).filter(
        (index) => !request.skip?.has(index),
      );
      const running = new Map<number, Promise<Outcome>>();
      const most = worstCase(request, options.price);
      // Who stops listening stops paying: requests in flight end with the loop.
      const left = new AbortController();
      const stop = signal ? AbortSignal.any([signal, left.signal]) : left.signal;
      try {
        while (wanted.length > 0 || running.size > 0) {
          while (wanted.length > 0 && running.size < PARALLEL) {
            const reserved = budget.reserve(most);
            // What runs may cost less than is reserved for it: only with nothing in flight is too little left for good.
            if (!reserved && running.size > 0) break;
            const index = wanted.shift()!;
            if (!reserved) {
              yield {
                index,
                error: {
                  code: "BUDGET_SPENT",
                  message: `the next candidate may cost $${most.toFixed(4)}, $${Math.max(0, budget.left()).toFixed(4)} are left`,
                },
                facts: null,
              };
              continue;
            }
            running.set(
              index,
              sampleOne(client, options, offers, request, index, stop).then((outcome) => {
                budget.giveBack(most - (outcome.facts?.costUsd ?? 0));
                return outcome;
              }),
            );
          }
          if (running.size === 0) continue;
          const outcome = await Promise.race(running.values());
          running.delete(outcome.index);
          yield outcome;
        }
      } finally {
        left.abort();
        for (const outcome of running.values()) outcome.catch(() => undefined);
      }
    },
  };
}

function worstCase(request: SampleRequest, price: OpenAIOptions["price"]): number {
  if (price === null) return 0;
  const characters = request.messages.reduce((sum, message) => sum + message.content.length, 0);
  return (
    ((characters / CHARACTERS_PER_TOKEN) * price.inputPerMillion + request.maxTokens * price.outputPerMillion) / 1e6
  );
}

async function sampleOne(
  client: OpenAI,
  options: OpenAIOptions,
  offers: { logprobs: boolean },
  request: SampleRequest,
  index: number,
  signal?: AbortSignal,
): Promise<Outcome> {
  const facts: SamplingFacts = {
    model: options.model,
    temperature: request.temperature,
    seed: request.seed === null ? null : (request.seed + index) % 2 ** 31,
    finishReason: "error",
    promptTokens: null,
    completionTokens: null,
    costUsd: null,
    selfCertainty: null,
  };
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await stream(client, options, offers, request, index, facts, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof APIError && error.status === 400 && offers.logprobs) {
        offers.logprobs = false;
        continue;
      }
      const wait = retryDelay(error, attempt);
      if (wait === null || attempt === ATTEMPTS)
        return { index, error: describe(error), facts: facts.promptTokens === null ? null : facts };
      await options.clock.sleep(wait, signal);
    }
  }
}

/** Milliseconds until the next attempt; null when another attempt cannot help. */
export function retryDelay(error: unknown, attempt: number): number | null {
  const backoff = Math.min(BACKOFF_MS.longest, BACKOFF_MS.first * 2 ** (attempt - 1));
  if (error instanceof APIError && error.status !== undefined) {
    if (error.status !== 408 && error.status !== 409 && error.status !== 429 && error.status < 500) return null;
    const told = Number(error.headers?.get("retry-after"));
    return Number.isFinite(told) && told > 0 ? Math.min(told * 1000, 120_000) : backoff;
  }
  // A connection that failed, stood still or was cut: a cut stream is a plain TypeError.
  return error instanceof APIConnectionError || error instanceof TypeError || error instanceof StreamEnded
    ? backoff
    : null;
}

class StreamEnded extends Error {}

async function stream(
  client: OpenAI,
  options: OpenAIOptions,
  offers: { logprobs: boolean },
  request: SampleRequest,
  index: number,
  facts: SamplingFacts,
  signal?: AbortSignal,
): Promise<Sample> {
  const idle = new AbortController();
  let timer = setTimeout(() => idle.abort(), options.idleMs ?? IDLE_MS);
  try {
    const chunks = await client.chat.completions.create(
      {
        model: options.model,
        ...(request.prefix === undefined
          ? { messages: request.messages }
          : { messages: [...request.messages, { role: "assistant", content: request.prefix }], ...CONTINUES }),
        ...(request.temperature === null ? {} : { temperature: request.temperature }),
        ...(facts.seed === null ? {} : { seed: facts.seed }),
        max_completion_tokens: request.maxTokens,
        ...(offers.logprobs && request.prefix === undefined ? { logprobs: true, top_logprobs: TOP_LOGPROBS } : {}),
        stream: true,
        stream_options: { include_usage: true },
      },
      { signal: signal ? AbortSignal.any([signal, idle.signal]) : idle.signal },
    );
    let text = "";
    let refusal = "";
    let finishReason = "";
    const distributions: number[][] = [];
    for await (const chunk of chunks) {
      clearTimeout(timer);
      timer = setTimeout(() => idle.abort(), options.idleMs ?? IDLE_MS);
      const choice = chunk.choices[0];
      text += choice?.delta?.content ?? "";
      refusal += choice?.delta?.refusal ?? "";
      finishReason = choice?.finish_reason ?? finishReason;
      for (const token of choice?.logprobs?.content ?? [])
        if (token.top_logprobs.length > 0) distributions.push(token.top_logprobs.map((one) => one.logprob));
      if (chunk.usage) {
        facts.promptTokens = chunk.usage.prompt_tokens;
        facts.completionTokens = chunk.usage.completion_tokens;
        if (options.price)
          facts.costUsd =
            (chunk.usage.prompt_tokens * options.price.inputPerMillion +
              chunk.usage.completion_tokens * options.price.outputPerMillion) /
            1e6;
      }
    }
    if (idle.signal.aborted) throw new StreamEnded(`no token within ${(options.idleMs ?? IDLE_MS) / 1000} s`);
    if (finishReason === "") throw new StreamEnded("the stream ended before the answer did");
    const certainty = distributions.length === 0 ? null : selfCertainty(distributions);
    return {
      index,
      text: text === "" ? refusal : text,
      facts: {
        ...facts,
        finishReason: refusal !== "" && text === "" ? "refusal" : finishReason,
        selfCertainty: certainty,
      },
    };
  } catch (error) {
    if (idle.signal.aborted && !signal?.aborted)
      throw new StreamEnded(`no token within ${(options.idleMs ?? IDLE_MS) / 1000} s`);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** One line without the key: an API's own text may repeat what was sent. */
export function describe(error: unknown): {
  code: "GENERATOR_TRANSIENT" | "GENERATOR_REFUSED";
  message: string;
} {
  if (error instanceof APIError && error.status !== undefined) {
    const code = error.status === 429 || error.status >= 500 ? "GENERATOR_TRANSIENT" : "GENERATOR_REFUSED";
    const why =
      error.status === 401 || error.status === 403
        ? "the key is not accepted; check OPENAI_API_KEY"
        : error.status === 404
          ? "no such model or address; check LLM_MODELS and OPENAI_BASE_URL"
          : `status ${error.status}`;
    return { code, message: `the LLM's API refused: ${why}` };
  }
  if (error instanceof StreamEnded) return { code: "GENERATOR_TRANSIENT", message: error.message };
  if (error instanceof APIConnectionError || error instanceof TypeError)
    return {
      code: "GENERATOR_TRANSIENT",
      message: "the LLM's API cannot be reached or cut the answer; check OPENAI_BASE_URL",
    };
  throw error;
}
