# Perl's Net::FTP with IO::Socket::SSL, which keeps the TLS session of every connection under a key.
#
# A resident (residents.py): each job is done by a process forked from this one, which has loaded OpenSSL.
use strict;
use warnings;
use Net::FTP;
use IO::Socket::SSL;

sub work {
    my $implicit = $ENV{FTP_MODE} eq 'implicit';
    # Net::FTP keeps the control connection's session under the host's name, and looks for host and port afterwards.
    IO::Socket::SSL::set_defaults(SSL_session_key => $ENV{FTP_HOST});
    my $ftp = Net::FTP->new(
        $ENV{FTP_HOST},
        Port => $ENV{FTP_PORT}, Passive => $ENV{FTP_DATA} eq 'passive' ? 1 : 0, Timeout => 30,
        SSL => $implicit, SSL_ca_file => $ENV{FTP_CA}, SSL_verifycn_name => $ENV{FTP_HOST},
    ) or die $@;
    $implicit or $ftp->starttls or die 'starttls: ', $ftp->message, $@;
    $ftp->login($ENV{FTP_USER}, $ENV{FTP_PASSWORD}) or die $ftp->message;
    $ftp->prot('P') or die $ftp->message;
    $ftp->binary;

    my %do = (
        mkdir => sub { $ftp->mkdir($_[0]) },
        put => sub { $ftp->put($_[0], $_[1]) },
        get => sub { $ftp->get($_[0], $_[1]) },
        reget => sub { $ftp->get($_[0], $_[1], -s $_[1]) },
        reput => sub {
            my $size = $ftp->size($_[1]);
            # restart() is for the server; the file is for whoever calls.
            open my $source, '<:raw', $_[0] or die $!;
            sysseek $source, $size, 0;
            $ftp->restart($size);
            $ftp->put($source, $_[1]);
        },
        list => sub { print "$_\n" for $ftp->dir; 1 },
        nlst => sub { print "$_\n" for $ftp->ls; 1 },
        size => sub { print $ftp->size($_[0]), "\n" },
        time => sub { print $ftp->mdtm($_[0]), "\n" },
        rename => sub { $ftp->rename($_[0], $_[1]) },
        delete => sub { $ftp->delete($_[0]) },
    );
    open my $job, '<', 'job.tsv' or die $!;
    while (my $line = <$job>) {
        chomp $line;
        my ($operation, @words) = split /\t/, $line;
        my $code = $do{$operation} or die "no $operation";
        $code->(@words) or die "$operation: ", $ftp->message;
    }
    $ftp->quit;
}

# It ends with 1 where it dies, as a script does with some other code than 0.
sub job {
    my ($folder) = @_;
    chdir $folder or die $!;
    open my $file, '<', 'job.env' or die $!;
    chomp(my @lines = <$file>);
    %ENV = map { split /=/, $_, 2 } @lines;
    work();
}

$| = 1;
while (my $folder = <STDIN>) {
    chomp $folder;
    my $child = fork() // die $!;
    if (!$child) {
        my $good = eval { job($folder); 1 };
        print STDERR $@ if !$good;
        exit($good ? 0 : 1);
    }
    waitpid $child, 0;
    print "\x1e", $? & 127 ? -1 : $? >> 8, "\n";
}
