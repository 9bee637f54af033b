/** The Generator port on both adapters, and what the OpenAI adapter sends and survives. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import nock from "nock";
import { describe, expect, it } from "vitest";
import { createOpenAIGenerator, type OpenAIOptions } from "../../src/adapters/openai/openai-generator.ts";
import { createReplayGenerator } from "../../src/adapters/replay/replay-generator.ts";
import { createBudget } from "../../src/domain/budget.ts";
import type { Clock, FailedSample, Generator, RecordedAnswer, Sample, SampleRequest } from "../../src/ports.ts";

const BASE = "http://llm.test/v1";
const KEY = "sk-test-0123456789abcdefghij";
const request: SampleRequest = {
  messages: [
    { role: "system", content: "S" },
    { role: "user", content: "U" },
  ],
  n: 2,
  temperature: 0.8,
  seed: 7,
  maxTokens: 100,
  problem: "o/r#1",
};

const waits: number[] = [];
const clock: Clock = { now: () => new Date(0), sleep: async (milliseconds) => void waits.push(milliseconds) };

const options = (change: Partial<OpenAIOptions> = {}): OpenAIOptions => ({
  apiKey: KEY,
  baseUrl: BASE,
  model: "m",
  price: { inputPerMillion: 1, outputPerMillion: 2 },
  budget: createBudget(1),
  clock,
  idleMs: 300,
  ...change,
});

const body = (seed: number, logprobs = true) => ({
  model: "m",
  messages: request.messages,
  temperature: 0.8,
  seed,
  max_completion_tokens: 100,
  ...(logprobs ? { logprobs: true, top_logprobs: 5 } : {}),
  stream: true,
  stream_options: { include_usage: true },
});

const chunk = (change: object, usage: object | null = null) =>
  `data: ${JSON.stringify({ id: "x", object: "chat.completion.chunk", created: 1, model: "m", choices: usage ? [] : [{ index: 0, delta: {}, finish_reason: null, ...change }], usage })}\n\n`;
const answer = (text: string) =>
  [
    chunk({ delta: { content: text.slice(0, 2) } }),
    chunk({ delta: { content: text.slice(2) }, finish_reason: "stop" }),
    chunk({}, { prompt_tokens: 1000, completion_tokens: 500, total_tokens: 1500 }),
    "data: [DONE]\n\n",
  ].join("");

const api = () => nock("http://llm.test", { reqheaders: { authorization: `Bearer ${KEY}` } });
const post = (seed: number, logprobs = true) => api().post("/v1/chat/completions", body(seed, logprobs));
const sse = { "content-type": "text/event-stream" };

async function collect(generator: Generator, change: Partial<SampleRequest> = {}): Promise<(Sample | FailedSample)[]> {
  const all: (Sample | FailedSample)[] = [];
  for await (const one of generator.sample({ ...request, ...change })) all.push(one);
  return all.sort((a, b) => a.index - b.index);
}
const text = (one: Sample | FailedSample | undefined) =>
  one && "text" in one ? one.text : `failed ${one?.error.code}`;

const row = (index: number, change: Partial<RecordedAnswer> = {}): RecordedAnswer => ({
  problem: "o/r#1",
  index,
  text: `answer ${index}`,
  model: "m",
  origin: "recorded",
  finishReason: "stop",
  promptTokens: 1,
  completionTokens: 1,
  costUsd: null,
  ...change,
});

const adapters: [string, () => Generator][] = [
  ["replay", () => createReplayGenerator([row(0), row(1)], "answers.jsonl")],
  [
    "openai",
    () => {
      post(7).reply(200, answer("answer 0"), sse);
      post(8).reply(200, answer("answer 1"), sse);
      return createOpenAIGenerator(options());
    },
  ],
];

describe.each(adapters)("%s", (name, create) => {
  it("gives every index once, with its facts", async () => {
    const all = await collect(create());
    expect(all.map(text)).toEqual(["answer 0", "answer 1"]);
    for (const one of all) expect(one.facts?.finishReason).toBe("stop");
  });

  it("does not sample what is stored already", async () => {
    const generator = create();
    if (name === "openai") nock.cleanAll();
    if (name === "openai") post(8).reply(200, answer("answer 1"), sse);
    const all = await collect(generator, { skip: new Set([0]) });
    expect(all.map((one) => one.index)).toEqual([1]);
  });
});

describe("openai", () => {
  const one = (change: Partial<OpenAIOptions> = {}) => collect(createOpenAIGenerator(options(change)), { n: 1 });

  it("counts tokens and money, and only tokens without a price", async () => {
    post(7).twice().reply(200, answer("abcd"), sse);
    expect((await one())[0]?.facts).toMatchObject({ promptTokens: 1000, completionTokens: 500, costUsd: 0.002 });
    expect((await one({ price: null }))[0]?.facts).toMatchObject({ promptTokens: 1000, costUsd: null });
  });

  it("goes on from a prefix in the same turn, after a probe that an API which begins anew does not pass", async () => {
    const generator = createOpenAIGenerator(options());
    const continues = (prefix: string) => (sent: Record<string, unknown> & { messages: unknown[] }) =>
      sent["continue_final_message"] === true &&
      sent["add_generation_prompt"] === false &&
      !("logprobs" in sent) &&
      JSON.stringify(sent.messages.at(-1)) === JSON.stringify({ role: "assistant", content: prefix });
    const reply = (prefix: string, status: number, said: string | object) =>
      api().post("/v1/chat/completions", continues(prefix)).reply(status, said, sse);
    reply("abcdefghijkl", 200, answer("mnopq"));
    await generator.provePrefill!();
    reply("def f(x):\n", 200, answer("    return x\n"));
    expect((await collect(generator, { n: 1, prefix: "def f(x):\n" })).map(text)).toEqual(["    return x\n"]);
    reply("abcdefghijkl", 200, answer("abcdefghijklmnop"));
    await expect(generator.provePrefill!()).rejects.toMatchObject({
      code: "GENERATOR_REFUSED",
      message: expect.stringContaining("begins a new answer"),
    });
    reply("abcdefghijkl", 400, { error: { message: "Unrecognized request argument: continue_final_message" } });
    await expect(generator.provePrefill!()).rejects.toMatchObject({ code: "GENERATOR_REFUSED" });
    expect(createReplayGenerator([row(0)], "a").provePrefill).toBeUndefined();
  });

  it("waits as told on 429, backs off on 500, and gives up within four attempts", async () => {
    waits.length = 0;
    post(7).reply(429, {}, { "retry-after": "7" });
    post(7).reply(500, {});
    post(7).reply(200, answer("abcd"), sse);
    expect(text((await one())[0])).toBe("abcd");
    expect(waits).toEqual([7000, 2000]);
    post(7).times(4).reply(503, {});
    expect(text((await one())[0])).toBe("failed GENERATOR_TRANSIENT");
  });

  it("does not repeat a refused key, and never shows it", async () => {
    post(7).reply(401, { error: { message: `Incorrect API key provided: ${KEY}` } });
    const [failed] = await one();
    expect(text(failed)).toBe("failed GENERATOR_REFUSED");
    expect(JSON.stringify(failed)).not.toContain(KEY);
  });

  it("goes on without log-probabilities where they are refused", async () => {
    post(7).reply(400, { error: { message: "logprobs is not supported" } });
    post(7, false).reply(200, answer("abcd"), sse);
    expect(text((await one())[0])).toBe("abcd");
  });

  it("tries a cut stream again: half an answer is none", async () => {
    post(7).reply(200, chunk({ delta: { content: "half" } }), sse);
    post(7).reply(200, answer("whole"), sse);
    expect(text((await one())[0])).toBe("whole");
  });

  it("gives up on a stream that stands still", async () => {
    let asked = 0;
    const silent = createServer((_, response) => {
      asked += 1;
      response.writeHead(200, sse);
      response.write(chunk({ delta: { content: "a" } }));
    });
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    expect(text((await one({ baseUrl: `http://127.0.0.1:${port}/v1`, idleMs: 50 }))[0])).toBe(
      "failed GENERATOR_TRANSIENT",
    );
    expect(asked).toBe(4);
    silent.closeAllConnections();
    silent.close();
  });

  it.each([
    ["content_filter", { delta: { content: "ab" }, finish_reason: "content_filter" }, "ab"],
    ["length", { delta: { content: "ab" }, finish_reason: "length" }, "ab"],
    ["refusal", { delta: { refusal: "no" }, finish_reason: "stop" }, "no"],
    ["stop", { delta: { content: "" }, finish_reason: "stop" }, ""],
  ])("hands on how an answer ended: %s", async (finishReason, change, expected) => {
    post(7).reply(200, `${chunk(change)}data: [DONE]\n\n`, sse);
    const [sample] = await one();
    expect(text(sample)).toBe(expected);
    expect(sample?.facts).toMatchObject({ finishReason, promptTokens: null, costUsd: null });
  });

  it("turns log-probabilities into self-certainty, and says from how many", async () => {
    const token = (p: number) => ({ token: "a", logprob: Math.log(p), bytes: null });
    const logprobs = { content: [{ ...token(0.9), top_logprobs: [token(0.9), token(0.1)] }], refusal: null };
    post(7).reply(200, `${chunk({ delta: { content: "a" }, logprobs, finish_reason: "stop" })}data: [DONE]\n\n`, sse);
    expect((await one())[0]?.facts?.selfCertainty).toEqual({ value: expect.closeTo(0.5108, 4), topK: 2 });
  });

  it("keeps what the budget paid for, and samples no more", async () => {
    // One call reserves $0.0002007 and costs $0.002: the first leaves too little for the rest.
    post(7).reply(200, answer("paid"), sse);
    const generator = createOpenAIGenerator(options({ budget: createBudget(0.0003) }));
    const all = await collect(generator, { n: 3 });
    expect(all.map(text)).toEqual(["paid", "failed BUDGET_SPENT", "failed BUDGET_SPENT"]);
  });

  it("waits for what is reserved to come back before it says that the budget is spent", async () => {
    const cheap = answer("cheap").replace('"completion_tokens":500', '"completion_tokens":1').replace("1000", "1");
    post(7).reply(200, cheap, sse);
    post(8).reply(200, cheap, sse);
    const all = await collect(createOpenAIGenerator(options({ budget: createBudget(0.0003) })));
    expect(all.map(text)).toEqual(["cheap", "cheap"]);
  });

  it("ends the requests in flight when nobody listens any more", async () => {
    const closed: Promise<unknown>[] = [];
    const server = createServer((request, response) => {
      closed.push(new Promise((resolve) => response.on("close", () => resolve(response.writableFinished))));
      let sent = "";
      request.on("data", (part) => {
        sent += part;
      });
      request.on("end", () => {
        response.writeHead(200, sse);
        // Index 0 is answered, index 1 never ends by itself.
        if (sent.includes('"seed":7')) response.end(answer("first"));
        else response.write(chunk({ delta: { content: "a" } }));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const generator = createOpenAIGenerator(options({ baseUrl: `http://127.0.0.1:${port}/v1`, idleMs: 30_000 }));
    for await (const sample of generator.sample(request)) {
      expect(sample.index).toBe(0);
      break;
    }
    expect(await Promise.all(closed)).toEqual(expect.arrayContaining([true]));
    server.closeAllConnections();
    server.close();
  });

  it("stops before a call that the budget may not cover, and says so", async () => {
    const [failed] = await one({ budget: createBudget(0.0001) });
    expect(text(failed)).toBe("failed BUDGET_SPENT");
  });
});

describe("replay", () => {
  it("serves any problem from a file of one, and only its own from a file of several", async () => {
    expect((await collect(createReplayGenerator([row(0, { problem: "other" })], "f"), { n: 1 })).map(text)).toEqual([
      "answer 0",
    ]);
    const mixed = createReplayGenerator([row(0, { problem: "other" }), row(0)], "f");
    expect((await collect(mixed, { n: 1, problem: "third" })).map(text)).toEqual(["failed GENERATOR_REFUSED"]);
  });

  it("is called scripted only when every answer is", () => {
    expect(createReplayGenerator([row(0, { origin: "scripted" })], "f").origin).toBe("scripted");
    expect(createReplayGenerator([row(0, { origin: "scripted" }), row(1)], "f").origin).toBe("replayed");
    expect(() => createReplayGenerator([], "f.jsonl")).toThrow("f.jsonl");
  });
});
