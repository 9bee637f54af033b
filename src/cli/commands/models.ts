/** `funprm models`: versions of the reward model, what the gate said of each, which one scores. */
import { resolve } from "node:path";
import Table from "cli-table3";
import type { Command } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import { findVersion, type GateDecision, type ModelSwitch, type ModelVersion } from "../../domain/model-version.ts";
import { type GatePorts, throughGate } from "../../flows/promote-model.ts";
import { activeVersion, heldOut } from "../../flows/train-model.ts";
import type { Files, ModelRegistry } from "../../ports.ts";
import type { CommandContext } from "../context.ts";

type ModelsDependencies = {
  registry(): Promise<{ models: ModelRegistry; close(): Promise<void> }>;
  gate(): GatePorts;
  files(): Files;
};

type Json = { json?: boolean };
const PLAIN = { style: { head: [], border: [], compact: true } };

export function addModelsCommand(program: Command, context: CommandContext, open: ModelsDependencies): void {
  const command = program.command("models").description("versions of the reward model, and which one scores");
  const use = async (work: (models: ModelRegistry, active: ModelVersion) => Promise<void>): Promise<void> => {
    const { models, close } = await open.registry();
    try {
      await work(models, await activeVersion({ registry: models, open: open.gate().open }));
    } finally {
      await close();
    }
  };
  const print = (options: Json, value: unknown, text: string) =>
    context.stdout(options.json === true ? `${JSON.stringify(value)}\n` : text);

  command
    .command("list", { isDefault: true })
    .description("every version, oldest first")
    .option("--json", "print JSON")
    .action((options: Json) =>
      use(async (models, active) => {
        const versions = await models.versions();
        print(options, { active: active.sha256, models: versions }, listing(versions, active.sha256));
      }),
    );

  command
    .command("show")
    .description("one version: where it comes from and what the gate said")
    .argument("<version>", "a version, name@version, or the first characters of its SHA-256")
    .option("--json", "print JSON")
    .action((word: string, options: Json) =>
      use(async (models, active) => {
        const version = findVersion(await models.versions(), word);
        const switches = (await models.switches()).filter((one) => one.sha256 === version.sha256);
        print(
          options,
          { ...version, active: version.sha256 === active.sha256, switches },
          detail(version, version.sha256 === active.sha256, switches),
        );
      }),
    );

  command
    .command("promote")
    .description("let a version score from the next run on; one that the gate refused needs --reason")
    .argument("<version>")
    .option("--by <login>", "who decides", "operator")
    .option("--reason <text>", "why, where the gate refused it or never saw it")
    .option("--json", "print JSON")
    .action((word: string, options: Json & { by: string; reason?: string }) =>
      use(async (models, active) => {
        const version = findVersion(await models.versions(), word);
        if (version.decision?.verdict !== "promoted" && version.base !== null && options.reason === undefined)
          throw new FunprmError(
            "BAD_USAGE",
            `${version.version} ${version.decision === null ? "has not been through the gate" : `was refused by ${failed(version.decision)}`}: look at \`models show ${word}\`, and give --reason to let it score nevertheless`,
          );
        // The bundle is proved now: a version that cannot be opened must not be switched to.
        await (await open.gate().open(version)).dispose();
        await models.activate(version.sha256, { by: options.by, reason: options.reason ?? "passed the gate" });
        print(
          options,
          { active: version.sha256, before: active.sha256 },
          `${version.name} ${version.version} scores from the next run on, instead of ${active.version}\n`,
        );
      }),
    );

  command
    .command("rollback")
    .description("back to the version that scored before")
    .option("--by <login>", "who decides", "operator")
    .option("--reason <text>", "why", "rollback")
    .option("--json", "print JSON")
    .action((options: Json & { by: string; reason: string }) =>
      use(async (models, active) => {
        const before = previous(await models.switches(), active.sha256);
        if (before === null)
          throw new FunprmError(
            "BAD_INPUT",
            `${active.version} is the first version here: there is none to go back to`,
          );
        const version = (await models.version(before))!;
        await (await open.gate().open(version)).dispose();
        await models.activate(before, { by: options.by, reason: options.reason });
        print(
          options,
          { active: before, before: active.sha256 },
          `back to ${version.name} ${version.version} from the next run on, instead of ${active.version}\n`,
        );
      }),
    );

  command
    .command("compare")
    .description("two versions on the held-out rows of a snapshot, by the gate's checks")
    .argument("<champion>")
    .argument("<challenger>")
    .requiredOption("--snapshot <folder>", "rows, made by `dataset build`")
    .option("--json", "print JSON")
    .action((one: string, other: string, options: Json & { snapshot: string }) =>
      use(async (models) => {
        const versions = await models.versions();
        const [champion, challenger] = [findVersion(versions, one), findVersion(versions, other)];
        const rows = await heldOut(resolve(context.cwd, options.snapshot), open.files());
        const decision = await throughGate(open.gate(), champion, challenger, rows);
        print(options, decision, decisionText(decision));
      }),
    );
}

/** The version that the newest switch to another one replaced; a rollback of a rollback goes further back. */
function previous(switches: readonly ModelSwitch[], active: string): string | null {
  const order: string[] = [];
  // Oldest first, as a stack: switching to what stands below takes off what is above.
  for (const { sha256 } of switches.toReversed()) {
    const at = order.indexOf(sha256);
    if (at >= 0) order.length = at + 1;
    else order.push(sha256);
  }
  const at = order.indexOf(active);
  return at > 0 ? order[at - 1]! : null;
}

function failed(decision: GateDecision): string {
  return decision.checks
    .filter((check) => !check.ok)
    .map((check) => check.name)
    .join(", ");
}

function listing(versions: readonly ModelVersion[], active: string): string {
  const table = new Table({ head: ["", "version", "sha256", "from", "gate", "AUC before → after", "made"], ...PLAIN });
  for (const one of versions) {
    const base = versions.find((other) => other.sha256 === one.base);
    table.push([
      one.sha256 === active ? "→" : "",
      `${one.name} ${one.version}`,
      one.sha256.slice(0, 12),
      one.base === null ? "ships" : (base?.version ?? one.base.slice(0, 12)),
      one.decision?.verdict ?? "–",
      figureText(one.decision),
      one.createdAt.slice(0, 16),
    ]);
  }
  return `${table.toString()}\n`;
}

function figureText(decision: GateDecision | null): string {
  const figure = decision?.checks.find((check) => check.name === "within-problem AUC")?.figure;
  return figure ? `${figure.champion.toFixed(3)} → ${figure.challenger.toFixed(3)}` : "–";
}

function detail(version: ModelVersion, active: boolean, switches: readonly ModelSwitch[]): string {
  const facts = [
    `${version.name} ${version.version}${active ? ", scores" : ""}`,
    `sha256 ${version.sha256}`,
    `bundle ${version.folder ?? "ships with the program"}`,
    ...(version.base === null
      ? []
      : [`trained from ${version.base.slice(0, 12)} on snapshot ${version.snapshot?.slice(0, 12)}`]),
    ...switches.map((one) => `${one.at.slice(0, 16)} switched to by ${one.by}: ${one.reason}`),
  ];
  return `${facts.join("\n")}\n${version.decision === null ? "" : decisionText(version.decision)}`;
}

/** Both sets of numbers. */
export function decisionText(decision: GateDecision): string {
  const table = new Table({
    head: [
      "",
      "check",
      `champion ${decision.champion.version}`,
      `challenger ${decision.challenger.version}`,
      "difference",
      "asked for",
    ],
    wordWrap: true,
    ...PLAIN,
  });
  for (const { ok, name, figure, said } of decision.checks)
    table.push([
      ok ? "✓" : "✗",
      name,
      figure ? figure.champion.toFixed(3) : "",
      figure ? figure.challenger.toFixed(3) : "",
      figure
        ? `${signed(figure.difference.value)} [${figure.difference.ci.map(signed).join(", ")}] (${figure.count})`
        : "",
      said,
    ]);
  return `${decision.verdict}: ${decision.rows} held-out rows, ${decision.problems} problems with both labels\n${table.toString()}\n`;
}

function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}
