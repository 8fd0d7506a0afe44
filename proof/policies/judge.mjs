// Judges requests against IAM policies: a list of {policies, rows, expected} as JSON on stdin; for
// each a list of "Allowed", "ExplicitlyDenied" or "ImplicitlyDenied" on stdout. Rows name their
// policies. Where `expected` says which rows are to be allowed, the first that is otherwise ends it.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

// The evaluator compares letter by letter in this way, and each time V8 makes a collator for it.
const compare = String.prototype.localeCompare
const accent = new Intl.Collator(undefined, { sensitivity: 'accent' })
String.prototype.localeCompare = function (other, locales, options) {
  const known = locales === undefined && options?.sensitivity === 'accent'
  return known ? accent.compare(this, other) : compare.call(this, other, locales, options)
}

// From the root to the account: the policies that hang on each.
const levels = (each, named) =>
  each.map((names, number) => ({ orgIdentifier: `level ${number}`, policies: names.map(named) }))

async function judge(policies, row, resource = row.resource) {
  const named = (name) => ({ name, policy: policies[name] })
  const result = await runSimulation(
    {
      request: {
        principal: row.principal,
        action: row.action,
        resource: { resource, accountId: row.owner },
        contextVariables: row.context,
      },
      identityPolicies: row.identity.map(named),
      resourcePolicy: row.policy ? policies[row.policy] : undefined,
      permissionBoundaryPolicies: row.boundary ? [named(row.boundary)] : undefined,
      serviceControlPolicies: levels(row.service_levels, named),
      resourceControlPolicies: levels(row.resource_levels, named),
    },
    { simulationMode: 'Strict' },
  )
  if (result.resultType === 'error') {
    // Actions that know no resource are asked about everything.
    const everything = result.errors.message === 'must.use.wildcard' && resource !== '*'
    if (everything) return judge(policies, row, '*')
    throw new Error(`${row.action} on ${row.resource}: ${JSON.stringify(result.errors)}`)
  }
  return result.overallResult
}

async function answer({ policies, rows, expected }) {
  const verdicts = []
  for (const [at, row] of rows.entries()) {
    verdicts.push(await judge(policies, row))
    if (expected && expected[at] !== (verdicts[at] === 'Allowed')) break
  }
  return verdicts
}

const answers = []
for (const question of JSON.parse(readFileSync(0, 'utf8'))) answers.push(await answer(question))
process.stdout.write(JSON.stringify(answers))
