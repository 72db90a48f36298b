/** Everything that the doctor looks at, in its order. */
import type { LoadedConfig } from '../config/load.ts';
import { openGateway, type DoctorWorld, type Gateway } from './ask.ts';
import { examineWayRound } from './around.ts';
import { examineConfiguration } from './callers.ts';
import { examineChat } from './chat.ts';
import { found, type Found } from './finding.ts';
import { examineLogin, type Mode } from './login.ts';
import { examineNextShim } from './next-shim.ts';
import { examineProviders } from './providers.ts';
import { examineReach } from './reach.ts';
import { examineRelays } from './relays.ts';
import { examineRoutes } from './routes.ts';

/** What was seen. */
export interface Examined {
  /** What the gateway itself is, where it told. */
  readonly release: string | undefined;
  readonly mode: Mode | undefined;
  readonly findings: readonly Found[];
}

/**
 * Nothing is changed at the gateway, and without `chat` no run begins. It takes 20 seconds at most, without a chat.
 *
 * @param loaded the configuration that would serve, and what `check` says of it
 * @param options `file`: the configuration, as the user calls it; `chat`: ask for one
 * @param world clock, names, addresses
 * @returns every finding
 */
export async function examine(
  { config, warnings }: LoadedConfig,
  options: { readonly file: string; readonly chat: boolean },
  world: DoctorWorld,
): Promise<Examined> {
  const gateway = openGateway(config, world);
  const [seen, providers] = await Promise.all([
    examineGateway(gateway, options, world),
    examineProviders(config, world),
  ]);
  const findings = [...seen.findings, ...providers, ...examineConfiguration(options.file, config, warnings)];
  return { ...seen, findings };
}

async function examineGateway(
  gateway: Gateway,
  { chat }: { readonly chat: boolean },
  world: DoctorWorld,
): Promise<Examined> {
  // Whatever it says, it is told about.
  const reached = await examineReach(gateway, world).catch((error: Error) => ({
    usable: false,
    findings: [found('gateway_unreachable', `what the gateway answers cannot be read: ${error.message}.`)],
  }));
  const findings = [...reached.findings];
  let release: string | undefined;
  let mode: Mode | undefined;
  if (!reached.usable) return { release, mode, findings };
  try {
    let accepted: boolean;
    if (gateway.config.gateway.auth.mode === 'shim') {
      const seen = await examineNextShim(gateway);
      findings.push(...seen);
      accepted = seen.every(({ severity }) => severity === 'ok');
    } else {
      const login = await examineLogin(gateway);
      ({ release, mode, accepted } = login);
      findings.push(...login.findings);
      if (accepted) {
        findings.push(...(await examineRoutes(gateway, release)));
        findings.push(...(await examineRelays(gateway, login.settings, world)));
      }
      findings.push(await examineWayRound(gateway, mode, world));
    }
    if (chat && accepted) findings.push(await examineChat(gateway));
  } catch (error) {
    // It was there a moment ago.
    findings.push(found('gateway_unreachable', `the gateway stopped answering: ${(error as Error).message}.`));
  }
  return { release, mode, findings };
}
