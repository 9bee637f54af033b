/** `funprm link RUN --hours 24`: a signed address of a run page for somebody without the operator's token. */
import type { Command } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import type { CommandContext } from "../context.ts";

export function addLinkCommand(
  program: Command,
  context: CommandContext,
  dependencies: { link(run: string, hours: number): string },
): void {
  program
    .command("link")
    .argument("<run>", "id of the run")
    .description("a signed, expiring address of a run page")
    .option("--hours <count>", "how long it opens", "24")
    .action((run: string, { hours }: { hours: string }) => {
      const count = Number(hours);
      if (!(count > 0 && count <= 24 * 90))
        throw new FunprmError("BAD_USAGE", `--hours ${hours}: give a number above 0 and at most ${24 * 90}`);
      if (!/^[0-9A-Za-z]{1,40}$/.test(run))
        throw new FunprmError(
          "BAD_USAGE",
          `${run}: not the id of a run; the sticky comment's link and \`funprm jobs\` show it`,
        );
      context.stdout(`${dependencies.link(run, count)}\n`);
    });
}
