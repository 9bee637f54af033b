/** git as a child process that inherits nothing: no configuration, no hooks, no filters, no prompt, no secret. */
import { spawn } from "node:child_process";
import { FunprmError } from "../../domain/errors.ts";

/** Time for a call that reads what is on this machine. */
export const READ_MS = 60_000;

export type GitCall = {
  cwd: string;
  args: string[];
  /** Sent as an Authorization header, through the environment: never in argv or a URL. */
  token?: string | null;
  input?: string;
  timeoutMs: number;
  /** More output than this ends the call. */
  maxBytes: number;
  signal?: AbortSignal | undefined;
  /** Exit codes beside 0 that are an answer and no failure; the output is what there is. */
  answers?: readonly number[];
};

/** stdout of the call. `CHECKOUT_FAILED` with git's last line on any failure; the whole process group is killed at the limit. */
export function git(call: GitCall): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      "git",
      [
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.symlinks=false",
        "-c",
        "core.attributesFile=/dev/null",
        "-c",
        "core.fsmonitor=false",
        ...call.args,
      ],
      {
        cwd: call.cwd,
        env: environment(call.cwd, call.token ?? null),
        stdio: ["pipe", "pipe", "pipe"],
        // A group of its own, so that helpers such as git-remote-https die with it.
        detached: true,
      },
    );
    const kill = () => {
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // Already gone.
      }
    };
    const out: Buffer[] = [];
    let size = 0;
    let errors = "";
    let why: string | null = null;
    const timer = setTimeout(() => {
      why = `no answer within ${call.timeoutMs / 1000} s`;
      kill();
    }, call.timeoutMs);
    const abort = () => {
      why = "interrupted";
      kill();
    };
    call.signal?.addEventListener("abort", abort);
    child.stdout.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > call.maxBytes) {
        why = `more than ${Math.round(call.maxBytes / 1024 / 1024)} MB`;
        kill();
      } else out.push(chunk);
    });
    child.stderr.on("data", (chunk: Buffer) => {
      errors = (errors + chunk.toString("utf8")).slice(-4000);
    });
    const end = () => {
      clearTimeout(timer);
      call.signal?.removeEventListener("abort", abort);
    };
    child.on("error", (error) => {
      end();
      reject(new FunprmError("CHECKOUT_FAILED", `git cannot be started (${error.message}); install git`));
    });
    child.on("close", (code) => {
      end();
      if (call.signal?.aborted) reject(call.signal.reason);
      else if (why === null && (code === 0 || call.answers?.includes(code ?? -1))) resolve(Buffer.concat(out));
      else
        reject(
          new FunprmError(
            "CHECKOUT_FAILED",
            `git ${call.args[0]}: ${why ?? errors.trim().split("\n").at(-1) ?? `exit ${code}`}`,
          ),
        );
    });
    child.stdin.on("error", () => {});
    child.stdin.end(call.input ?? "");
  });
}

function environment(home: string, token: string | null): Record<string, string> {
  const config: [string, string][] = [
    ["protocol.allow", "never"],
    ["protocol.http.allow", "always"],
    ["protocol.https.allow", "always"],
    ["protocol.file.allow", "always"],
    ["http.followRedirects", "false"],
    ["credential.helper", ""],
    ["safe.directory", "*"],
    ["submodule.recurse", "false"],
    ["fetch.fsckObjects", "false"],
    ["filter.lfs.smudge", ""],
    ["filter.lfs.required", "false"],
  ];
  if (token !== null)
    config.push([
      "http.extraHeader",
      `Authorization: Basic ${Buffer.from(`x-access-token:${token}`).toString("base64")}`,
    ]);
  const entries = config.flatMap(([key, value], i): [string, string][] => [
    [`GIT_CONFIG_KEY_${i}`, key],
    [`GIT_CONFIG_VALUE_${i}`, value],
  ]);
  return {
    PATH: "/usr/local/bin:/usr/bin:/bin",
    HOME: home,
    LC_ALL: "C",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_COUNT: `${config.length}`,
    ...Object.fromEntries(entries),
  };
}
