/** `auth-shim device …`: shows and removes the device identities that the shim keeps for its callers. */
import { resolve } from 'node:path';
import { ConfigError } from '../config/config.ts';
import { loadDevices, type DevicesPlace } from '../config/load.ts';
import { CALLER_NAME, CALLER_NAME_WORDS } from '../config/schema.ts';
import { didYouMean } from '../config/suggest.ts';
import { DeviceStoreError, openDeviceStore, type DeviceStore } from '../gateway/device-store.ts';
import { configWorld } from './config-world.ts';
import { EXIT } from './exit.ts';
import { table } from './table.ts';
import type { World } from './world.ts';

const SHOW = 'openclaw devices list';
const removal = (id: string): string => `openclaw devices remove ${id}`;

export interface DeviceListOptions {
  readonly config: string;
  readonly json?: boolean | undefined;
}

/**
 * @param world streams
 * @param options what the command line says
 * @returns 0; 1 when there is no folder to look into, or something in it cannot be used; 78 for a configuration
 *   with faults
 */
export function runDeviceList(world: World, { config, json }: DeviceListOptions): Promise<number> {
  return telling(world, async () => {
    const { store, names } = await openStore(world, config);
    const { devices, faults } = await store.list();
    const rows = devices.map(({ caller, id, createdAt }) => ({
      caller,
      deviceId: id,
      createdAt: new Date(createdAt).toISOString(),
      configured: names.includes(namerOf(caller)),
      remove: removal(id),
    }));
    if (json) {
      world.stdout(`${JSON.stringify(rows, null, 2)}\n`);
    } else {
      const cells = rows.map((row) => [row.caller, row.deviceId, row.createdAt]);
      world.stdout(table([['CALLER', 'DEVICE', 'CREATED'], ...cells]));
    }
    for (const { caller, configured } of rows) {
      if (!configured) world.stderr(`"${caller}" is no longer in ${config}: auth-shim device forget ${caller}\n`);
    }
    if (rows.length > 0 && !json) {
      world.stderr(`The gateway's own records: ${SHOW}. To remove one of them there:\n`);
      for (const { caller, remove } of rows) world.stderr(`  ${remove}  # ${caller}\n`);
    }
    for (const { message } of faults) world.stderr(`${message}\n`);
    return faults.length === 0 ? EXIT.ok : EXIT.no;
  });
}

export interface DeviceForgetOptions {
  readonly config: string;
  /** The caller, in the configuration or not. */
  readonly name: string;
}

/**
 * Removes the identity of a caller, sound or not; prints the gateway's command for its record, alone on stdout.
 *
 * @param world streams
 * @param options what the command line says
 * @returns 0; 1 when there is none; 2 for what is no caller's name; 78 for a configuration with faults
 */
export function runDeviceForget(world: World, { config, name }: DeviceForgetOptions): Promise<number> {
  return telling(world, async () => {
    if (!CALLER_NAME.test(namerOf(name))) {
      world.stderr(`${CALLER_NAME_WORDS}\n`);
      return EXIT.usage;
    }
    const { store } = await openStore(world, config);
    const { devices } = await store.list();
    if (!(await store.forget(name))) {
      const hint = didYouMean(name, devices.map(({ caller }) => caller)); // prettier-ignore
      world.stderr(`there is no device identity of "${name}"${hint}\n`);
      return EXIT.no;
    }
    const id = devices.find(({ caller }) => caller === name)?.id;
    world.stderr(`the device identity of "${name}" is removed; its next connect makes a new one\n`);
    if (id === undefined) {
      world.stderr(`It could not be read. Where the gateway has a record of it, "${SHOW}" shows it as shim:${name}.\n`);
    } else {
      world.stdout(`${removal(id)}\n`);
      world.stderr('The gateway may keep a record of it: the command on stdout removes that.\n');
    }
    return EXIT.ok;
  });
}

/** There is no folder in which a command could see identities. */
class NoFolderError extends Error {}

async function openStore(
  world: World,
  config: string,
): Promise<{ readonly store: DeviceStore } & Pick<DevicesPlace, 'names'>> {
  const { deviceStore, names } = await loadDevices(config, configWorld(world));
  if (deviceStore === undefined) throw new NoFolderError(`${config} has no gateway.deviceStore: no identity is kept`);
  if (deviceStore === 'memory') {
    throw new NoFolderError(
      `${config} keeps device identities in memory (gateway.deviceStore: memory): a command cannot see what a running ` +
        `shim has there, and its end forgets it. "${SHOW}" shows the gateway's records, as shim:CALLER@INSTANCE`,
    );
  }
  return { store: openDeviceStore({ folder: resolve(world.cwd, deviceStore.folder) }), names };
}

async function telling(world: World, command: () => Promise<number>): Promise<number> {
  try {
    return await command();
  } catch (error) {
    if (error instanceof ConfigError || error instanceof DeviceStoreError || error instanceof NoFolderError) {
      world.stderr(`${error.message}\n`);
      return error instanceof ConfigError ? EXIT.config : EXIT.no;
    }
    throw error;
  }
}

/** The caller itself; or the shim or the issuer that calls it so: `shim/name`, `issuer:name`. */
function namerOf(caller: string): string {
  return caller.split(/[/:]/, 1)[0] as string;
}
