/** The run page in a real browser: hostile text stays text, nothing is loaded, it fits a phone and the dark. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderRunPage } from "../../src/app/web/run-page.ts";
import { serveRunPage } from "../../src/app/web/serve-run-page.ts";
import { signLink } from "../../src/domain/link.ts";
import type { Run } from "../../src/domain/run.ts";
import type { RunStore } from "../../src/ports.ts";

const HOSTILE = `<script>document.title="owned"</script><img src=x onerror="document.title='owned'"> javascript:alert(1) "'>${"long".repeat(200)}`;
const KEY = "key of links";
const NOW = new Date("2026-01-01T00:00:00Z");

const step = {
  index: 0,
  name: HOSTILE,
  simpleName: "f",
  kind: "function" as const,
  path: "a.py",
  startLine: 1,
  endLine: 2,
  startByte: 0,
  endByte: 1,
  docstring: true,
  nested: 0,
  signature: "",
  source: "",
  reward: 0.4,
  attribution: 0.5,
  reason: null,
};
const candidate = {
  index: 0,
  status: "scored" as const,
  reason: null,
  duplicateOf: null,
  raw: HOSTILE,
  sampling: {
    model: "m",
    temperature: 1,
    seed: 1,
    finishReason: "stop",
    promptTokens: 1,
    completionTokens: 1,
    costUsd: null,
    selfCertainty: null,
  },
  edits: null,
  compliance: null,
  steps: [step, step, step],
  score: 0.4,
  verdict: "PASS" as const,
};
const run = {
  id: "01RUN",
  owner: "o",
  repo: "r",
  issueNumber: 1,
  generation: 1,
  state: "opened",
  startedBy: HOSTILE,
  trigger: { kind: "label", label: "x" },
  issue: { title: HOSTILE, body: HOSTILE, author: "a", url: "" },
  selected: 0,
  selectionReason: HOSTILE,
  rule: "consensus",
  relevant: [{ path: HOSTILE, name: HOSTILE, score: 1 }],
  pullRequest: { number: 2, url: "javascript:alert(1)", branch: "b", title: HOSTILE, headSha: "", reviewComments: 0 },
  costUsd: null,
  promptTokens: 1,
  completionTokens: 1,
  tests: null,
  abstention: null,
  failure: null,
  model: { name: "m", version: "1", sha256: "0".repeat(64), renderVersion: "v1", attention: "causal", maxTokens: 9 },
} as unknown as Run;
const html = renderRunPage({
  run,
  candidates: [candidate],
  events: [{ runId: "01RUN", seq: 1, at: "", kind: "stage", message: HOSTILE }],
  effects: [],
});

let browser: Browser;
let server: Server;
let url: string;

beforeAll(async () => {
  const runs = {
    run: async (id: string) => (id === "01RUN" ? run : null),
    candidates: async () => [{ runId: "01RUN", candidate }],
    events: async () => [],
    effects: async () => [],
  } as unknown as RunStore;
  server = createServer(async (request, response) => {
    if (
      !(await serveRunPage(
        { runs, linkKey: KEY, operatorToken: "a token of the operator", open: false, now: () => NOW },
        request,
        response,
      ))
    )
      response.writeHead(404).end("Not Found");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});
afterAll(async () => {
  await browser?.close();
  server?.close();
});

const opened = (expires: number, key = KEY, id = "01RUN") => `${url}/runs/${id}?${signLink(key, id, expires)}`;
const LATER = NOW.getTime() / 1000 + 60;

describe("the run page", () => {
  it.each(["light", "dark"] as const)(
    "runs no text, loads nothing, and fits a phone (%s)",
    async (colorScheme) => {
      const page = await browser.newPage({ viewport: { width: 390, height: 800 }, colorScheme });
      const asked: string[] = [];
      const complaints: string[] = [];
      page.on("request", (request) => asked.push(request.url()));
      page.on("console", (message) => complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(error.message));
      await page.goto(opened(LATER));
      expect(asked.filter((address) => !address.startsWith(url))).toEqual([]);
      expect(complaints.filter((text) => !text.includes("favicon") && !text.includes("404"))).toEqual([]);
      expect(await page.title()).toBe("FunPRM run 01RUN");
      expect(await page.locator("script, img").count()).toBe(0);
      expect(await page.evaluate("document.documentElement.scrollWidth <= 390")).toBe(true);
      const [text, back] = (await page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]",
      )) as [string, string];
      const light = (color: string) =>
        (color.match(/\d+/g) ?? []).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765;
      expect(Math.abs(light(text) - light(back))).toBeGreaterThan(0.6);
      await page.close();
    },
    60_000,
  );

  it("has no link to what is no web address, and no percentage", () => {
    expect(html).not.toContain('href="javascript');
    expect(html.replace(/<style>[\s\S]*?<\/style>/, "").replace(/hsl\([^)]*\)/g, "")).not.toMatch(/\d\s*%/);
  });

  it("opens with a live link or the operator's token, and looks the same forbidden and unknown", async () => {
    expect((await fetch(opened(LATER))).status).toBe(200);
    expect(
      (await fetch(`${url}/runs/01RUN`, { headers: { authorization: "Bearer a token of the operator" } })).status,
    ).toBe(200);
    const refused = await Promise.all([
      fetch(`${url}/runs/01RUN`),
      fetch(opened(LATER - 120)),
      fetch(opened(LATER, "another key")),
      fetch(opened(LATER, KEY, "01NONE")),
      fetch(`${url}/runs/01RUN?${signLink(KEY, "01NONE", LATER)}`),
      fetch(`${url}/runs/01RUN`, { headers: { authorization: "Bearer wrong" } }),
    ]);
    const answers = await Promise.all(refused.map(async (answer) => `${answer.status} ${await answer.text()}`));
    expect(new Set(answers)).toEqual(new Set(["404 Not Found"]));
  });

  it("is not kept by caches, tells nobody where it was, and allows no script", async () => {
    const { headers } = await fetch(opened(LATER));
    expect([headers.get("cache-control"), headers.get("referrer-policy")]).toEqual(["no-store", "no-referrer"]);
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
  });
});
