// Judges requests against IAM policies: {policies, rows} as JSON on stdin, a list of "Allowed",
// "ExplicitlyDenied" or "ImplicitlyDenied" on stdout. Rows name their policies.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const { policies, rows } = JSON.parse(readFileSync(0, 'utf8'))

async function judge(row, resource = row.resource) {
  const result = await runSimulation(
    {
      request: {
        principal: row.principal,
        action: row.action,
        resource: { resource, accountId: row.owner },
        contextVariables: row.context,
      },
      identityPolicies: row.identity.map((name) => ({ name, policy: policies[name] })),
      resourcePolicy: row.policy ? policies[row.policy] : undefined,
      serviceControlPolicies: [],
      resourceControlPolicies: [],
    },
    { simulationMode: 'Strict' },
  )
  if (result.resultType === 'error') {
    // Actions that know no resource are asked about everything.
    if (result.errors.message === 'must.use.wildcard' && resource !== '*') return judge(row, '*')
    throw new Error(`${row.action} on ${row.resource}: ${JSON.stringify(result.errors)}`)
  }
  return result.overallResult
}

const verdicts = []
for (const row of rows) verdicts.push(await judge(row))
process.stdout.write(JSON.stringify(verdicts))
