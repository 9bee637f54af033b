/** Faults that a test asked for: which request they meet, and what it gets instead. */
import type { Reply } from "./call.ts";
import type { World } from "./state.ts";
import type { FaultRule } from "./types.ts";

/** The next fault that meets this request, counted; null for none. */
export function takeFault(world: World, method: string, path: string): FaultRule | null {
  const fault = world.faults.find(
    (rule) =>
      rule.hits < rule.times && new RegExp(`^(${rule.method})$`).test(method) && new RegExp(rule.path).test(path),
  );
  if (fault === undefined) return null;
  fault.hits += 1;
  return fault;
}

/** What the client gets in place of the true reply; of no use for `delay` and the cut connections. */
export function replyOfFault(fault: FaultRule): Reply {
  if (fault.kind === "rate-limit")
    return {
      status: 403,
      body: { message: "API rate limit exceeded", documentation_url: "https://docs.github.com/rest" },
      headers: {
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": String(Math.ceil(Date.now() / 1000) + (fault.retryAfter ?? 60)),
      },
    };
  if (fault.kind === "secondary")
    return {
      status: fault.status === 429 ? 429 : 403,
      body: { message: "You have exceeded a secondary rate limit." },
      headers: { "retry-after": String(fault.retryAfter ?? 60) },
    };
  return { status: fault.status, body: { message: "fault" } };
}
