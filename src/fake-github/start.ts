/** Starts the fake GitHub in a process of its own and gives a client for what people do there. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { App } from "./types.ts";

export type FakeGitHub = {
  /** Without a final slash. REST is below `/api/v3`, GraphQL at `/api/graphql`, pages at `/OWNER/REPO/issues/N`. */
  url: string;
  /** One of the actions of `admin.ts`. */
  // biome-ignore lint/suspicious/noExplicitAny: shapes are the caller's to know, action by action
  act(action: string, wish?: Record<string, unknown>): Promise<any>;
  stop(): Promise<void>;
};

/** @param app its webhook address may be set later with the action `webhook`. */
export async function startFakeGitHub(app: App): Promise<FakeGitHub> {
  const child = spawn(process.execPath, [fileURLToPath(new URL("main.ts", import.meta.url))], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.write(`${JSON.stringify({ app })}\n`);
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    once(child, "exit").then(([code]) => {
      throw new Error(`the fake GitHub ended with exit code ${code} before it listened`);
    }),
  ])) as [string];
  const { url } = JSON.parse(line) as { url: string };
  return {
    url,
    async act(action, wish = {}) {
      const response = await fetch(`${url}/_fake/${action}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(wish),
      });
      const body = await response.json();
      if (!response.ok) throw new Error(`${action}: ${(body as { message: string }).message}`);
      return body;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}
