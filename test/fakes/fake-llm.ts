/** An OpenAI-compatible API on loopback that answers as a test says, and keeps what it was asked. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export type Asked = {
  messages: { role: string; content: string }[];
  logprobs?: boolean;
  seed?: number;
  temperature?: number;
  stream?: boolean;
};
export type Answer = {
  status?: number;
  text?: string;
  refusal?: string;
  finish?: string;
  /** Likeliest first tokens; absent = no log-probabilities. */
  tokens?: [string, number][];
};

export async function startFakeLlm(answer: (asked: Asked) => Answer) {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      const question = JSON.parse(body) as Asked;
      asked.push(question);
      const { status = 200, text = "", refusal, finish = "stop", tokens } = answer(question);
      const usage = { prompt_tokens: 1000, completion_tokens: 1, total_tokens: 1001 };
      if (question.stream && status < 400) {
        const chunk = (choices: object[], counted: object | null) =>
          `data: ${JSON.stringify({ id: "x", object: "chat.completion.chunk", created: 1, model: "m", choices, usage: counted })}\n\n`;
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write(chunk([{ index: 0, delta: { content: text }, finish_reason: finish }], null));
        response.end(`${chunk([], usage)}data: [DONE]\n\n`);
        return;
      }
      response.writeHead(status, { "content-type": "application/json" });
      const top = tokens?.map(([token, p]) => ({ token, logprob: Math.log(Math.max(p, 1e-9)), bytes: null })) ?? [];
      response.end(
        JSON.stringify(
          status >= 400
            ? { error: { message: "refused" } }
            : {
                id: "x",
                object: "chat.completion",
                created: 1,
                model: "m",
                choices: [
                  {
                    index: 0,
                    finish_reason: finish,
                    message: { role: "assistant", content: text, refusal: refusal ?? null },
                    logprobs:
                      tokens && question.logprobs
                        ? { content: [{ ...top[0], top_logprobs: top }], refusal: null }
                        : null,
                  },
                ],
                usage,
              },
        ),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    asked,
    stop: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
