/** The grammar of the command line. Each command is loaded only when it is run. */
import { Command, CommanderError } from 'commander';
import type { World } from './world.ts';

const DEFAULT_CONFIG = 'shim.config.yaml';
const USAGE = 2;

/**
 * @param world what commands are given
 * @param args the words after the program's name
 * @returns the exit code: 0 fine, 1 the answer is no, 2 usage, 78 a configuration that cannot run
 */
export async function runCommandLine(world: World, args: readonly string[]): Promise<number> {
  let code = 0;
  const program = new Command('auth-shim')
    .description('Lets headless callers use an unmodified OpenClaw gateway: a token and a scope for each.')
    .configureOutput({ writeOut: world.stdout, writeErr: world.stderr })
    .showHelpAfterError('(auth-shim --help lists the commands)')
    .exitOverride();

  const command = (name: string, description: string, isDefault = false): Command =>
    program.command(name, { isDefault }).description(description);
  const withConfig = (target: Command): Command =>
    target.option('-c, --config <file>', 'the configuration', world.env.AUTH_SHIM_CONFIG ?? DEFAULT_CONFIG);

  withConfig(command('serve', 'run the shim (the default)', true))
    .option('--pretty', 'log lines for people (default on a terminal)')
    .option('--no-pretty', 'log lines as JSON')
    .action(async ({ config, pretty }: { config: string; pretty?: boolean }) => {
      const { runServe } = await import('./serve.ts');
      code = await runServe(world, { config, pretty });
    });

  withConfig(command('explain', 'say what would become of a request, and why'))
    .requiredOption('--as <caller>', 'the caller to be')
    .option('-H, --header <line>', 'a further request header, "Name: value"', collect, [])
    .option('--json', 'the same as JSON', false)
    .argument('<method>')
    .argument('<path>')
    .action(async (method: string, path: string, o: { config: string; as: string; header: string[]; json: boolean }) => {
      const { runExplain } = await import('./explain.ts');
      code = await runExplain(world, { config: o.config, as: o.as, method, path, headers: o.header, json: o.json });
    });

  command('demo', 'show the defect of 2026.3.28 and its end, with a stand-in gateway')
    .option('--keep', 'stay up, to point an OpenAI SDK at it', false)
    .action(async ({ keep }: { keep: boolean }) => {
      const { runDemoCommand } = await import('./demo.ts');
      code = await runDemoCommand(world, { keep });
    });

  command('version', 'print the version').action(async () => {
    const { runVersion } = await import('./version.ts');
    code = runVersion(world);
  });

  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : USAGE;
  }
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}
