/** `funprm serve`: the app until it is told to stop. */
import type { Command } from "commander";
import type { CommandContext } from "../context.ts";

export function addServeCommand(
  program: Command,
  context: CommandContext,
  dependencies: { serve(): Promise<{ url: string }> },
): void {
  program
    .command("serve")
    .description("run the app: webhooks, worker, run pages (SIGTERM drains)")
    .action(async () => {
      const { url } = await dependencies.serve();
      context.stderr(`funprm listens on ${url}\n`);
      // The worker ends the process when it has drained.
      await new Promise(() => {});
    });
}
