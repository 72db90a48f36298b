/** The device identities of callers: in a folder that replicas may share, or in memory. */
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { readFaultWords } from '../config/world.ts';
import {
  callerOf,
  checkFolder,
  DeviceStoreError,
  readDevice,
  removeDevice,
  writeDevice,
  type DatedDevice,
} from './device-file.ts';
import { createDevice, type Device } from './device.ts';

export { DeviceStoreError };

/** What a store says of one identity. */
export interface StoredDevice {
  readonly caller: string;
  /** `Device.id` */
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** Everything in a store. */
export interface DeviceList {
  /** In the order of their callers' names. */
  readonly devices: readonly StoredDevice[];
  /** What is there and cannot be used. */
  readonly faults: readonly DeviceStoreError[];
}

/** One device identity for each caller. Every function rejects with a `DeviceStoreError` for what it cannot do. */
export interface DeviceStore {
  /** 8 hex digits of this process, where no other one has the same identities; else `undefined`. */
  readonly instance: string | undefined;
  /**
   * An identity is made when it is first asked for. Of all processes that share the folder the first writer wins,
   * and what another one replaced or removed is seen by the next call.
   *
   * @param caller name of a caller
   */
  get(caller: string): Promise<Device>;
  /**
   * Takes the place of what is there, whatever its state.
   *
   * @param caller name of a caller
   * @param device that the gateway has accepted
   */
  replace(caller: string, device: Device): Promise<void>;
  list(): Promise<DeviceList>;
  /**
   * @param caller name of a caller
   * @returns whether there was something, sound or not
   */
  forget(caller: string): Promise<boolean>;
}

/** What tests hand in, and who must own the folder: a command of root's may look at that of anybody. */
export interface DeviceStoreOptions {
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Numeric id of a user; root may own it, too. */
  readonly owner?: number | undefined;
}

/**
 * @param where `gateway.deviceStore`
 * @param options clock and owner
 * @returns the store; its folder is made with the first identity
 */
export function openDeviceStore(
  where: { readonly folder: string } | 'memory',
  { now = Date.now, owner }: DeviceStoreOptions = {},
): DeviceStore {
  return where === 'memory' ? memoryStore(now) : folderStore(where.folder, now, owner);
}

/** @returns the numeric id of the user that this process runs as; `undefined` where the system does not tell */
export function ownUser(): number | undefined {
  try {
    return userInfo().uid;
  } catch {
    // A container's user without an entry in the user table.
    return statSync('/proc/self', { throwIfNoEntry: false })?.uid;
  }
}

/** Callers of another shim or of an issuer are as many as that says; each leaves a pairing record at the gateway. */
const MOST_OF_ONE = 1_000;

/** `shim/name`, or `issuer:name`. */
const NAMED_ELSEWHERE = /[/:]/;

function refuseMore(caller: string, known: Iterable<string>): void {
  const namer = caller.slice(0, caller.search(NAMED_ELSEWHERE) + 1);
  if (namer === '' || [...known].filter((one) => one.startsWith(namer)).length < MOST_OF_ONE) return;
  throw new DeviceStoreError(
    'full',
    `there are device identities of ${MOST_OF_ONE} callers of ${namer}…: "auth-shim device forget" makes room`,
    caller,
  );
}

function memoryStore(now: () => number): DeviceStore {
  const kept = new Map<string, DatedDevice>();
  const keep = (caller: string, device: Device): Device => {
    kept.set(caller, { device, createdAt: now() });
    return device;
  };
  return {
    instance: randomBytes(4).toString('hex'),
    async get(caller) {
      const known = kept.get(caller);
      if (known) return known.device;
      refuseMore(caller, kept.keys());
      return keep(caller, createDevice());
    },
    replace: async (caller, device) => void keep(caller, device),
    list: async () => ({ devices: [...kept].map(described).sort(byCaller), faults: [] }),
    forget: async (caller) => kept.delete(caller),
  };
}

function folderStore(folder: string, now: () => number, owner: number | undefined): DeviceStore {
  /** Many connects of one caller at once make one key, and flush one file. */
  const making = new Map<string, Promise<Device>>();

  /** Those that are counted are made one after another, or many at once would all find room. */
  let last: Promise<unknown> = Promise.resolve();

  function make(caller: string): Promise<Device> {
    if (!NAMED_ELSEWHERE.test(caller)) return write(caller);
    const made = last.then(async () => {
      refuseMore(caller, await callersIn(folder));
      return write(caller);
    });
    last = made.catch(() => undefined);
    return made;
  }

  async function write(caller: string): Promise<Device> {
    const device = createDevice();
    for (;;) {
      if (await writeDevice(folder, caller, { device, createdAt: now() }, 'first')) return device;
      const theirs = await readDevice(folder, caller, owner);
      // It was removed between the two; then this process may be the first.
      if (theirs) return theirs.device;
    }
  }

  return {
    instance: undefined,
    async get(caller) {
      const stored = (await checkFolder(folder, owner)) ? await readDevice(folder, caller, owner) : undefined;
      if (stored) return stored.device;
      let made = making.get(caller);
      if (made === undefined) {
        made = make(caller).finally(() => making.delete(caller));
        making.set(caller, made);
      }
      return made;
    },
    async replace(caller, device) {
      await writeDevice(folder, caller, { device, createdAt: now() }, 'over');
    },
    async list() {
      const devices: StoredDevice[] = [];
      const faults: DeviceStoreError[] = [];
      const orFault = async (look: () => Promise<unknown>): Promise<void> => {
        try {
          await look();
        } catch (error) {
          if (!(error instanceof DeviceStoreError)) throw error;
          faults.push(error);
        }
      };
      let callers: readonly string[] = [];
      await orFault(() => checkFolder(folder, owner));
      // What is no folder is one fault, told above.
      if (faults.every(({ fault }) => fault !== 'disk')) callers = await callersIn(folder);
      for (const caller of callers) {
        await orFault(async () => {
          const stored = await readDevice(folder, caller, owner);
          if (stored) devices.push(described([caller, stored]));
        });
      }
      return { devices, faults };
    },
    forget: (caller) => removeDevice(folder, caller),
  };
}

/** Whatever else lies in the folder is nothing of the store's. */
async function callersIn(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw new DeviceStoreError('disk', `${folder} ${readFaultWords(error)}`);
  }
  return names.flatMap((name) => callerOf(name) ?? []).sort();
}

function described([caller, { device, createdAt }]: readonly [string, DatedDevice]): StoredDevice {
  return { caller, id: device.id, createdAt };
}

function byCaller(one: StoredDevice, other: StoredDevice): number {
  return one.caller < other.caller ? -1 : 1;
}
