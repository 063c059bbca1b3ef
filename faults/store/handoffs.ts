import type { OperatorProcess } from '../../test/support/processes.ts';
import { type Handoff, handOff } from '../handoff.ts';
import { judge, type Outcome, type Run, type Scenario, seconds, sized } from '../scenario.ts';

async function repeat({ size, stage }: Run, limitMs: number, leave: (it: OperatorProcess) => void): Promise<Outcome> {
  const fleet = await stage.fleet();
  const all: Handoff[] = [];
  for (let i = 0; i < sized(size, 1, 5); i += 1) all.push(await handOff(fleet, leave));
  const [ownedMs, servedMs] = [Math.max(...all.map((it) => it.ownedMs)), Math.max(...all.map((it) => it.servedMs))];
  return judge([{ what: `all of its jobs were served after ${seconds(servedMs)}`, held: servedMs <= limitMs }], {
    figure: `${all.length}× ${all[0]?.shards} shards, ${all[0]?.jobs} jobs edited: owned by others after ${seconds(ownedMs)}, all served after ${seconds(servedMs)}`,
    limit: seconds(limitMs),
    detail: { handoffs: all, jobs: fleet.jobs.length },
  });
}

export const handoffGraceful: Scenario = {
  row: '20',
  name: 'handoff-graceful',
  what: 'one of three replicas is told to stop: an edit of a job of each of its shards is acted on within 3 s',
  alone: true,
  run: (run) => repeat(run, 3_000, (leaving) => leaving.signal('SIGTERM')),
};

export const handoffCrash: Scenario = {
  row: '20',
  name: 'handoff-crash',
  what: 'one of three replicas is killed: an edit of a job of each of its shards is acted on within 10 s',
  alone: true,
  run: (run) => repeat(run, 10_000, (leaving) => leaving.signal('SIGKILL')),
};
