# Reads {"records": {name: text}, "messages": [base64]} and prints, for each message, a list with an object for each
# signature: domain, selector, pass, reason. Perl's own JSON::PP and MIME::Base64 suffice.
use strict;
use warnings;
use JSON::PP;
use MIME::Base64;
use Mail::DKIM::Verifier;
use Mail::DKIM::DNS;

my $job = decode_json( do { local $/; <STDIN> } );

# A resolver that knows the job's records only.
package Records {
    use Net::DNS;
    sub new { bless {}, shift }
    sub errorstring { 'NXDOMAIN' }
    sub query { my $self = shift; return $self->send(@_) }
    sub send {
        my ( $self, $name, $type ) = @_;
        my $packet = Net::DNS::Packet->new( $name, $type );
        my $text = $job->{records}{ lc( $name =~ s/\.$//r ) };
        if ( defined $text ) {
            my @parts = $text =~ /(.{1,255})/gs;
            $packet->push( answer => Net::DNS::RR->new( name => $name, type => 'TXT', txtdata => \@parts ) );
        }
        else { $packet->header->rcode('NXDOMAIN') }
        return $packet;
    }
}

Mail::DKIM::DNS::resolver( Records->new );

my @all;
for my $encoded ( @{ $job->{messages} } ) {
    my $dkim = Mail::DKIM::Verifier->new;
    $dkim->PRINT( decode_base64($encoded) );
    $dkim->CLOSE;
    my @results;
    for my $s ( $dkim->signatures ) {
        push @results,
          {
            domain   => $s->domain // '',
            selector => $s->selector // '',
            pass     => ( $s->result // '' ) eq 'pass' ? JSON::PP::true : JSON::PP::false,
            reason   => $s->result_detail // '',
          };
    }
    push @all, \@results;
}
print encode_json( \@all );
