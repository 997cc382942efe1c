//! Stranger: somebody with an agent's credentials, who would like to hide, doom or abort what is not his.

use repository::layout::{self, Mark, MarkRun, ParsedName, Signature};
use repository::read;
use repository::store::Bytes;

use super::super::actor::Actor;
use super::super::process::Process;

/// Puts marks that nobody signed.
pub(crate) struct Stranger;

impl Stranger {
    /// The name of a mark on some point, with a signature that is made up or was made for another mark.
    fn mark(
        &self,
        process: &mut Process,
        domain: &repository::domain::Domain,
    ) -> Result<Option<String>, repository::Error> {
        let points = read::points_with_hidden(domain, None)?.points;
        let Some(point) = process.dice.index(points.len()).map(|index| points[index].id) else { return Ok(None) };
        let marks = domain.store().list(&layout::marks(domain.id()))?;
        let stolen = process.dice.index(marks.len()).and_then(|index| match ParsedName::parse(&marks[index].name) {
            Ok(ParsedName::Mark { run, signature, .. }) => Some((run, signature)),
            _ => None,
        });
        let mut made_up = (MarkRun([7; 16]), Signature([0; 64]));
        process.dice.fill(&mut made_up.1.0);
        let (run, signature) = stolen.filter(|_| process.dice.one_in(2)).unwrap_or(made_up);
        let mark = Mark::ALL[process.dice.below(4) as usize];
        let unsigned = layout::unsigned_mark(domain.id(), point.volume, point.session, mark, run);
        Ok(Some(format!("{unsigned}.{signature}")))
    }
}

impl Actor for Stranger {
    fn act(&mut self, process: &mut Process) {
        let named = process.domain().and_then(|domain| Ok((self.mark(process, &domain)?, domain)));
        match named {
            Err(error) => process.failed("a stranger could not look", &error),
            Ok((None, _)) => {}
            Ok((Some(name), domain)) => match domain.store().put(&name, Bytes::new()) {
                Ok(()) => process.count("mark by a stranger"),
                Err(error) => process.failed("a stranger could not put his mark", &error.into()),
            },
        }
    }
}
