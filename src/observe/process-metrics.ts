/** What every Node program tells of itself. */
import { one, type Family } from './exposition.ts';

/** CPU time in microseconds since the start of the process, memory in bytes, as Node tells them. */
export interface ProcessUsage {
  readonly cpu: NodeJS.CpuUsage;
  readonly memory: NodeJS.MemoryUsage;
}

/**
 * The names that dashboards for Node programs expect. Event loop and collector monitors would cost at rest.
 *
 * @param usage asked at each scrape
 * @param startedMs milliseconds since the epoch
 */
export function processFamilies(usage: () => ProcessUsage, startedMs: number): Family[] {
  const seconds = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1e6;
  const memory = (name: string, help: string, key: keyof NodeJS.MemoryUsage): Family => ({
    name,
    help,
    type: 'gauge',
    read: () => one(usage().memory[key]),
  });
  return [
    {
      name: 'process_cpu_seconds_total',
      help: 'User and system CPU time.',
      type: 'counter',
      read: () => one(seconds(usage().cpu)),
    },
    {
      name: 'process_start_time_seconds',
      help: 'When the process started.',
      type: 'gauge',
      read: () => one(startedMs / 1000),
    },
    memory('process_resident_memory_bytes', 'Resident memory.', 'rss'),
    memory('nodejs_heap_size_used_bytes', 'Heap in use.', 'heapUsed'),
    memory('nodejs_heap_size_total_bytes', 'Size of the heap.', 'heapTotal'),
    memory('nodejs_external_memory_bytes', 'Buffers and other memory outside of the heap.', 'external'),
  ];
}
