import { destination, pino } from "pino";
import { redact } from "../../domain/redact.ts";
import type { Log } from "../../ports.ts";

/** JSON lines on stderr (or file descriptor `fd`). Every text in a line is redacted; `secrets` are the operator's own. */
export function createLog(options: {
  level: "debug" | "info" | "warn" | "error" | "silent";
  secrets: readonly string[];
  fd?: number;
}): Log {
  const logger = pino({ level: options.level, base: null }, destination({ fd: options.fd ?? 2, sync: true }));
  const clean = (value: unknown, depth = 0): unknown => {
    if (typeof value === "string") return redact(value, options.secrets);
    if (value instanceof Error) return clean({ name: value.name, message: value.message, stack: value.stack }, depth);
    if (typeof value !== "object" || value === null) return value;
    if (depth >= 6) return "[too deep]";
    if (Array.isArray(value)) return value.map((item) => clean(item, depth + 1));
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, clean(item, depth + 1)]));
  };
  const write = (level: "debug" | "info" | "warn" | "error") => (message: string, fields?: Record<string, unknown>) =>
    logger[level](clean(fields ?? {}) as object, redact(message, options.secrets));
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}
